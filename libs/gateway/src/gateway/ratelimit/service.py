"""The rate limit service over gRPC. It knows no transport, and nothing of quotas.

A call is one question. Its answer may come later, from counters elsewhere; a caller that does not wait loses nothing.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.ratelimit.codec import Codec, UnreadableError
from gateway.ratelimit.gate import Decided
from gateway.ratelimit.messages import Decision, Descriptor
from gateway.rpc.calls import Call, Method, Status
from gateway.wire.quotas import RATE_LIMIT_SERVICE, TOKEN, TOKEN_FLAG

METHOD: Final = f"/{RATE_LIMIT_SERVICE}/ShouldRateLimit"

Decide = Callable[[Sequence[Descriptor], Decided], None]


class RateLimits:
    """The service. With a `token` it answers those alone who bring it: whoever can charge can use up any quota."""

    def __init__(self, codec: Codec, decide: Decide, token: str | None = None) -> None:
        self.codec = codec
        self.decide = decide
        self._token = None if token is None else token.encode()

    @property
    def methods(self) -> Mapping[str, Method]:
        """Under Envoy's service name."""
        return {METHOD: self._opened}

    def _opened(self, metadata: Mapping[str, str], call: Call) -> "Question | Stranger":
        given = metadata.get(TOKEN, "").encode(errors="replace")
        is_known = self._token is None or hmac.compare_digest(given, self._token)
        return Question(self, call) if is_known else Stranger(call)

    async def drain(self) -> None:
        """Calls are short: what is asked is answered, and a proxy goes elsewhere by itself."""


class Question:
    """The handler of one call."""

    __slots__ = ("_call", "_limits", "is_at_rest")

    is_collecting = False

    def __init__(self, limits: RateLimits, call: Call) -> None:
        self._limits = limits
        self._call: Call | None = call
        self.is_at_rest = False

    def receive(self, message: bytes) -> None:
        """Ask; the answer ends the call."""
        try:
            descriptors = self._limits.codec.decode(message)
        except UnreadableError as error:
            self._end(Status.INVALID_ARGUMENT, f"the message cannot be read: {error}")
            return
        self._limits.decide(descriptors, self._answer)

    def half_closed(self) -> None:
        """The question has come before."""

    def closed(self, *, is_cut: bool) -> None:
        """Nobody waits for the answer any more."""
        del is_cut
        self._call = None

    def _answer(self, decision: Decision | None) -> None:
        if decision is None:
            self._end(Status.UNAVAILABLE, "the counters of quotas cannot be reached")
        elif self._call is not None:
            self._call.send((self._limits.codec.encode(decision),))
            self._end(Status.OK, "")

    def _end(self, status: Status, text: str) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.end(status, text)


class Stranger:
    """The handler of a call without the token."""

    __slots__ = ("_call",)

    is_collecting = False
    is_at_rest = True

    def __init__(self, call: Call) -> None:
        self._call = call

    def receive(self, message: bytes) -> None:
        """Refuse; nothing is read or counted."""
        del message
        self._call.end(Status.UNAUTHENTICATED, f"the call does not bring the token of {TOKEN_FLAG}")

    def half_closed(self) -> None:
        """It was refused, or asked nothing."""

    def closed(self, *, is_cut: bool) -> None:
        """Nothing is kept."""
        del is_cut
