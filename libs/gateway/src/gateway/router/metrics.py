"""The body-based router's metrics, under the reference's names where it has them."""

from typing import Final

from gateway.router.conversation import Reading
from gateway.routing.plugin import Named, Note
from gateway.service import logs
from gateway.service.metrics import Registry

log = logs.get(__name__)

SECONDS: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # the reference's buckets


class Metrics:
    """One instance per process, with a registry of its own. `version` is that of the service."""

    def __init__(self, version: str) -> None:
        registry = self.registry = Registry()
        info = registry.gauge("bbr_info", "Build information.", ("commit", "build_ref"))
        info.set(1, ("", version))
        self._success = registry.counter("bbr_success_total", "Requests whose model was lifted.")
        self._not_found = registry.counter(
            "bbr_body_field_not_found_total", "Requests that went on without a field.", ("field",)
        )
        self._not_found.add(("model",), 0)
        self._empty = registry.counter("bbr_body_field_empty_total", "Requests whose field was empty.", ("field",))
        self._guarded = registry.counter("bbr_guard_total", "What the guard found.", ("reason", "action"))
        self._classified = registry.counter(
            "bbr_class_total", "Classes of requests, and what told them.", ("class", "by")
        )
        self._embedded = registry.counter("bbr_embeddings_total", "Questions to the embedder by result.", ("result",))
        self._seconds = registry.histogram(
            "bbr_plugin_duration_seconds",
            "What a plugin took for one request.",
            ("extension_point", "plugin_type", "plugin_name"),
            SECONDS,
        )
        self._failures = registry.counter("bbr_plugin_failures_total", "Calls of plugins that failed.", ("plugin",))
        self._by_note = {
            "field_not_found": self._not_found, "field_empty": self._empty, "guard": self._guarded,
            "class": self._classified,
        }  # fmt: skip
        self._failed: set[str] = set()
        self._not_json = registry.counter("bbr_not_json_total", "Bodies that are no JSON and passed.")
        self._refused = registry.counter("bbr_refused_total", "Requests refused with 400.")
        self._denied = registry.counter(
            "bbr_denied_total", "Requests of callers that are not known, or may not use the model."
        )
        self._violations = registry.counter(
            "bbr_protocol_violations_total", "Streams that broke the ext_proc protocol."
        )

    def observe(self, reading: Reading) -> None:
        """One request was read."""
        match reading:
            case Reading.FOUND:
                self._success.add()
            case Reading.MISSING:
                pass  # the plugin that looks for a field counts it
            case Reading.NOT_JSON:
                self._not_json.add()
            case Reading.REFUSED:
                self._refused.add()
            case Reading.DENIED:
                self._denied.add()

    def noted(self, note: Note) -> None:
        """A plugin did something; one of a user's own may count under names that are not known here."""
        counter = self._by_note.get(note.metric)
        if counter is not None:
            counter.add(note.labels)

    def plugin_took(self, plugin: Named, seconds: float) -> None:
        """A plugin has acted."""
        self._seconds.observe(seconds, ("request", plugin.type, plugin.name))

    def plugin_failed(self, name: str, error: str) -> None:
        """A plugin raised; the log has it once."""
        self._failures.add((name,))
        if name not in self._failed:
            self._failed.add(name)
            log.error("plugin failed; requests go on without it", plugin=name, error=error)

    def embedded(self, result: str) -> None:
        """A question to the embedder was answered."""
        self._embedded.add((result,))

    def violation(self, reason: str) -> None:  # noqa: ARG002 - reasons are unbounded, labels must not be
        """A proxy broke the protocol."""
        self._violations.add()
