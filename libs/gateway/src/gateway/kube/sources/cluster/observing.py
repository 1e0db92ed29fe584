"""What operators are shown of an API server: one line and one figure for each change of state.

A shell around two states: whether the server is reached, and how it stands with each resource.
"""

from typing import Final

from gateway.kube.sources.cluster.reflector import Phase, Verb
from gateway.kube.sources.cluster.resources import Selection
from gateway.service import logs
from gateway.service.metrics import Registry

log = logs.get(__name__)

LOST_AFTER: Final = 3  # attempts in a row, of all resources: one may meet a server that is about to stop


class Observer:
    """Of one process. `is_reached` is None until the first answer or loss."""

    def __init__(self, registry: Registry) -> None:
        self._reached = registry.gauge("pointsman_api_server_reached", "Whether the API server answers: 1 or 0.")
        self._changes = registry.counter(
            "pointsman_api_server_changes_total", "How often the API server was reached or lost.", ("state",)
        )
        self._watches = registry.gauge(
            "pointsman_api_server_watches", "Resources that are followed, by how it stands.", ("resource", "phase")
        )
        self._writes = registry.counter(
            "pointsman_api_server_status_writes_total", "Status that was written, by resource.", ("resource",)
        )
        self._kept = registry.counter(
            "pointsman_api_server_object_writes_total", "Objects that were applied or deleted.", ("resource", "verb")
        )
        self._leads = registry.gauge(
            "pointsman_api_server_leader",
            "Whether this replica is the one that writes: 1 or 0. Absent without election.",
        )
        self._unkept: set[tuple[str, str]] = set()
        self._counts: dict[tuple[str, str], int] = {}
        self._failures = 0
        self.is_reached: bool | None = None

    def answered(self) -> None:
        """The server gave an answer, be it an error."""
        self._failures = 0
        if not self.is_reached:
            self._change("reached", is_reached=True)
            log.info("the API server answers")

    def failed(self, error: BaseException) -> None:
        """An attempt met no server."""
        self._failures += 1
        if self.is_reached is not False and self._failures >= LOST_AFTER:
            self._change("lost", is_reached=False)
            log.error("the API server is not reached; what was read stays in force", error=str(error) or repr(error))

    def phase(self, selection: Selection, before: Phase | None, now: Phase | None) -> None:
        """It stands otherwise with a resource; None is one that is not followed."""
        for phase, step in ((before, -1), (now, 1)):
            if phase is not None:
                labels = (str(selection.resource), phase.value)
                self._counts[labels] = self._counts.get(labels, 0) + step
                self._watches.set(self._counts[labels], labels)

    def refused(self, selection: Selection, phase: Phase, verb: Verb, reason: str) -> None:
        """A resource is not given, and why. One that is not installed is no fault."""
        write = log.info if phase is Phase.MISSING else log.warning
        write(
            "the API server does not give a resource; the others are served",
            phase=phase.value,
            verb=verb.value,
            resource=str(selection.resource),
            namespace=selection.namespace or "all",
            reason=reason,
        )

    def followed(self, selection: Selection) -> None:
        """A resource is given after all."""
        log.info("a resource is followed", resource=str(selection.resource), namespace=selection.namespace or "all")

    def wrote(self, resource: str) -> None:
        """The status of an object was written."""
        self._writes.add((resource,))

    def unwritten(self, resource: str, reason: str) -> None:
        """The status of a resource is refused, for the first time."""
        log.warning(
            "the API server does not take the status of a resource", verb="patch", resource=resource, reason=reason
        )

    def unkept(self, resource: str, verb: str, reason: str) -> None:
        """An object that is to be there, or to go, is refused. One line for each resource and verb."""
        if (resource, verb) in self._unkept:
            return
        self._unkept.add((resource, verb))
        log.warning("the API server does not let an object be kept", verb=verb, resource=resource, reason=reason)

    def kept(self, resource: str, verb: str, name: str) -> None:
        """An object was made, changed or deleted."""
        self._kept.add((resource, verb))
        log.info("an object is kept", verb=verb, resource=resource, name=name)

    def leads(self, *, is_leader: bool) -> None:
        """This replica has become the one that writes, or is it no more."""
        self._leads.set(float(is_leader))
        log.info("this replica writes" if is_leader else "another replica writes, or none")

    def _change(self, state: str, *, is_reached: bool) -> None:
        self.is_reached = is_reached
        self._reached.set(float(is_reached))
        self._changes.add((state,))
