"""How a request went, by its last access-log entry or its response, joined with where it had been placed. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from epp.datalayer.member import Member
from epp.datalayer.placement import Placement
from epp.domain import EndpointId, Feedback

HTTP_OK: Final = 200
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500
UNAVAILABLE: Final = 503
# Envoy's response flags about the connection to the endpoint, as its gRPC access log names them. When the list of
# endpoints is walked to its end the flag is no_healthy_upstream.
UNREACHED: Final = frozenset(("upstream_connection_failure", "no_healthy_upstream"))
BREAKS: Final = frozenset(("upstream_connection_termination", "upstream_remote_reset"))
CONNECT_FAILURES: Final = UNREACHED | BREAKS
CLIENT_LEFT: Final = frozenset(("downstream_connection_termination", "downstream_remote_reset"))


class Report(NamedTuple):
    """`served` is the member that the entry names; None when it names none, or one that has left. A tuple, which costs
    least to make."""

    placement: Placement
    feedback: Feedback
    served: Member | None

    @property
    def is_elsewhere(self) -> bool:
        """Another endpoint than the picked one answered, or none did."""
        return self.served is not self.placement.primary

    @property
    def is_plain(self) -> bool:
        """Its only attempt was answered well, and the proxy has nothing to remark."""
        feedback = self.feedback
        return feedback.status == HTTP_OK and not feedback.flags and feedback.attempts == 1

    @property
    def is_ok(self) -> bool:
        """The client got the answer."""
        return self.feedback.status == HTTP_OK

    @property
    def connect_failed(self) -> bool:
        """The last attempt got no connection, or lost it."""
        return bool(CONNECT_FAILURES.intersection(self.feedback.flags))

    @property
    def has_begun(self) -> bool:
        """A byte of an answer's body came."""
        return self.feedback.ttft_seconds is not None

    @property
    def client_left(self) -> bool:
        """The client did not wait for the end."""
        return bool(CLIENT_LEFT.intersection(self.feedback.flags))

    @property
    def has_failed(self) -> bool:
        """The server gave no answer, or an error of its own: what it is believed to hold is in doubt. One that was
        not reached, or refused for load, still holds what it held."""
        if UNREACHED.intersection(self.feedback.flags) or self.feedback.status == UNAVAILABLE:
            return False
        if (self.feedback.status or 0) >= _SERVER_ERROR:
            return True
        return not self.has_begun and not self.client_left and (self.connect_failed or self.feedback.status is None)

    @property
    def computed_nothing(self) -> bool:
        """The prompt never got there, was refused, or was given up before its first byte."""
        status = self.feedback.status
        return self.has_failed or status is None or status >= _CLIENT_ERROR

    @property
    def tried(self) -> Sequence[EndpointId]:
        """The endpoints that the proxy went to, in order, as far as they can be known."""
        placement, served = self.placement, self.feedback.served
        targets = placement.targets or (placement.primary.id,)
        before = targets[: max(1, self.feedback.attempts)]
        if served is None:
            return before
        return (*(each for each in before[: max(0, self.feedback.attempts - 1)] if each != served), served)

    @property
    def cause(self) -> str:
        """What the proxy or the server gave as the reason, for people."""
        return cause_of(self.feedback)


def cause_of(feedback: Feedback) -> str:
    """What the proxy or the server gave as the reason, for people."""
    return ",".join(feedback.flags) or ("no answer" if feedback.status is None else str(feedback.status))
