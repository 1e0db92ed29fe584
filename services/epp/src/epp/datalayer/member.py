"""One endpoint's membership in a pool. Pure.

A slot is a small integer that is free again when its endpoint has left, so that producers can keep figures in bitmasks
and short tables. The membership itself is what tells an endpoint that left from one that came back in its place.
"""

from dataclasses import dataclass

from epp.domain import Endpoint, EndpointId


@dataclass(slots=True, eq=False)
class Member:
    """Compared by identity. The pool alone replaces `endpoint`, when discovery sees other labels, and ends `is_known`,
    when it forgets a member that left: its slot is another's then."""

    slot: int
    endpoint: Endpoint
    is_known: bool = True

    @property
    def id(self) -> EndpointId:
        """The endpoint's address and port."""
        return self.endpoint.id
