"""How a request went, by its last access-log entry or its response, joined with where it had been placed. Pure."""

from dataclasses import dataclass
from typing import Final

from epp.datalayer.member import Member
from epp.datalayer.placement import Placement
from epp.domain import Feedback

HTTP_OK: Final = 200
# Envoy's response flags about the connection to the endpoint, as its gRPC access log names them. When the list of
# endpoints is walked to its end the flag is no_healthy_upstream.
CONNECT_FAILURES: Final = frozenset(
    ("upstream_connection_failure", "no_healthy_upstream", "upstream_connection_termination", "upstream_remote_reset")
)


@dataclass(frozen=True, slots=True)
class Report:
    """`served` is the member that the entry names; None when it names none, or one that has left."""

    placement: Placement
    feedback: Feedback
    served: Member | None

    @property
    def is_elsewhere(self) -> bool:
        """Another endpoint than the picked one answered, or none did."""
        return self.served is not self.placement.primary

    @property
    def is_ok(self) -> bool:
        """The client got the answer."""
        return self.feedback.status == HTTP_OK

    @property
    def connect_failed(self) -> bool:
        """The last attempt got no connection, or lost it."""
        return bool(CONNECT_FAILURES.intersection(self.feedback.flags))

    @property
    def was_answered(self) -> bool:
        """The model server answered. A client that left first, or a timeout, leaves that open."""
        feedback = self.feedback
        return feedback.ttft_seconds is not None or (feedback.status is not None and not feedback.flags)

    @property
    def failure(self) -> str:
        """What went wrong, for people."""
        feedback = self.feedback
        return f"requests fail ({','.join(feedback.flags) or feedback.status or 'no answer'})"
