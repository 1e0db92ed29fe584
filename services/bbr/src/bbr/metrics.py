"""The body-based router's metrics, under the reference's names where it has them. A shell on prometheus_client."""

from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge

from bbr.exchange import Reading


class Metrics:
    """One instance per process, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        info = Gauge("bbr_info", "Build information.", ["commit", "build_ref"], registry=self.registry)
        info.labels(commit="", build_ref=metadata.version("pointsman-bbr")).set(1)
        self._success = Counter("bbr_success_total", "Requests whose model was lifted.", registry=self.registry)
        not_found = Counter(
            "bbr_body_field_not_found_total",
            "Requests that went on without a field.",
            ["field"],
            registry=self.registry,
        )
        self._not_found = not_found.labels(field="model")
        self._not_json = Counter("bbr_not_json_total", "Bodies that are no JSON and passed.", registry=self.registry)
        self._refused = Counter("bbr_refused_total", "Requests refused with 400.", registry=self.registry)
        self._violations = Counter(
            "bbr_protocol_violations_total", "Streams that broke the ext_proc protocol.", registry=self.registry
        )
        self._counters = {
            Reading.FOUND: self._success,
            Reading.MISSING: self._not_found,
            Reading.NOT_JSON: self._not_json,
            Reading.REFUSED: self._refused,
        }

    def observe(self, reading: Reading) -> None:
        """One request was read."""
        self._counters[reading].inc()

    def violation(self, reason: str) -> None:  # noqa: ARG002 - reasons are unbounded, labels must not be
        """A proxy broke the protocol."""
        self._violations.inc()
