"""The body-based router's metrics, under the reference's names where it has them."""

from importlib import metadata

from bbr.exchange import Reading
from gateway.service.metrics import Registry


class Metrics:
    """One instance per process, with a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = Registry()
        info = registry.gauge("bbr_info", "Build information.", ("commit", "build_ref"))
        info.set(1, ("", metadata.version("pointsman-bbr")))
        self._success = registry.counter("bbr_success_total", "Requests whose model was lifted.")
        self._not_found = registry.counter(
            "bbr_body_field_not_found_total", "Requests that went on without a field.", ("field",)
        )
        self._not_found.add(("model",), 0)
        self._not_json = registry.counter("bbr_not_json_total", "Bodies that are no JSON and passed.")
        self._refused = registry.counter("bbr_refused_total", "Requests refused with 400.")
        self._violations = registry.counter(
            "bbr_protocol_violations_total", "Streams that broke the ext_proc protocol."
        )

    def observe(self, reading: Reading) -> None:
        """One request was read."""
        match reading:
            case Reading.FOUND:
                self._success.add()
            case Reading.MISSING:
                self._not_found.add(("model",))
            case Reading.NOT_JSON:
                self._not_json.add()
            case Reading.REFUSED:
                self._refused.add()

    def violation(self, reason: str) -> None:  # noqa: ARG002 - reasons are unbounded, labels must not be
        """A proxy broke the protocol."""
        self._violations.add()
