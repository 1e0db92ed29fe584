"""One RPC on one HTTP/2 stream: messages out of its bytes, answers onto it, and what it may keep meanwhile. Pure.

The peer gets its window back for messages that were handled. For a message, or for a body in many messages, that is
larger than every stream may keep, it gets more only when the stream has one of the few turns of the process.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.rpc import headers, limits
from gateway.rpc.budget import Budget
from gateway.rpc.calls import Handler, Status
from gateway.rpc.engine import Engine
from gateway.rpc.frames import Assembler, CompressedError, TooLargeError, framed


class Owner(Protocol):
    """The connection of a stream."""

    engine: Engine
    budget: Budget
    settings: limits.Settings

    def has_sent(self, stream: "Stream") -> None:
        """Something is to be written."""

    def is_held_up(self, stream: "Stream") -> bool:
        """The peer does not take what it is sent."""

    def hold(self, stream: "Stream") -> None:
        """The stream gets its window back when the peer takes more."""

    def defer(self, stream: "Stream", message: bytes) -> None:
        """A large message is handled when nothing else is; `handle` is called then."""

    def failed(self, error: Exception) -> None:
        """A handler raised."""

    def forget(self, stream: "Stream") -> None:
        """The stream is over."""


class Stream:
    """A `Call` for its handler. `id` is HTTP/2's number; `encoding` is the `grpc-encoding` of the request."""

    __slots__ = (
        "_assembler", "_collected", "_encoding", "_handler", "_has_begun", "_has_half_closed", "_has_lost_output",
        "_is_deferred", "_is_over", "_kept", "_kept_before", "_owner", "_unreturned", "_wants_turn", "id", "messages",
    )  # fmt: skip

    def __init__(self, owner: Owner, number: int, encoding: bytes) -> None:
        self._owner = owner
        self.id = number
        self._encoding = encoding
        self._assembler = Assembler(owner.settings.receive_limit)
        self._handler: Handler | None = None
        self._collected = 0  # bytes that the handler keeps for a body that is not complete
        self._kept = 0  # bytes that the budget knows of
        self._unreturned = 0  # bytes of the window that the peer did not get back
        self._wants_turn = False  # the budget knows of this stream: it keeps much, or wants to
        self._has_begun = self._has_half_closed = self._is_deferred = self._is_over = False
        self._has_lost_output = False
        self.messages = 0
        self._kept_before = -1  # bytes at the last look at streams that stand still

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def is_at_rest(self) -> bool:
        return self._handler is not None and self._handler.is_at_rest

    @property
    def stands_still(self) -> bool:
        """It has a turn, and nothing came since the last look."""
        if not self._wants_turn or self._is_deferred or not self._owner.budget.has_turn(self):
            return False
        before, self._kept_before = self._kept_before, self._kept
        return before == self._kept

    def open(self, handler: Handler) -> None:
        """The service's side of the call; it may have ended the call already."""
        if self._is_over:
            handler.closed(is_cut=self._has_lost_output)
        else:
            self._handler = handler

    # From the peer.

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream."""
        self._unreturned += len(data)
        self._assembler.feed(data)
        self.proceed()

    def half_close(self) -> None:
        """Take the end of the peer's side."""
        self._has_half_closed = True
        self.proceed()

    def proceed(self) -> None:
        """Handle what is complete, in order."""
        try:
            while not self._is_over and not self._is_deferred:
                message = self._assembler.take()
                if message is None:
                    break
                if len(message) > limits.LARGE_MESSAGE_BYTES:
                    self._is_deferred = True
                    self._owner.defer(self, message)
                else:
                    self._give(message)
        except CompressedError:
            self._refuse_encoding()
        except TooLargeError as error:
            self.end(Status.RESOURCE_EXHAUSTED, str(error))
        if self._is_deferred:
            return
        if self._has_half_closed and not self._is_over:
            self._finish()
        self._return_window()

    def handle(self, message: bytes) -> None:
        """Handle a large message whose time has come, and what came behind it."""
        self._is_deferred = False
        if not self._is_over:
            self._give(message)
            self.proceed()

    def _give(self, message: bytes) -> None:
        handler = self._handler
        if handler is None:
            return
        self.messages += 1
        try:
            handler.receive(message)
        except Exception as error:  # noqa: BLE001 - whatever a service does wrong, the other streams go on
            self._owner.failed(error)
            self.end(Status.INTERNAL, "internal error")
        else:
            self._collected = self._collected + len(message) if not self._is_over and handler.is_collecting else 0

    def _finish(self) -> None:
        if not self._assembler.is_empty:
            self.end(Status.INTERNAL, "the stream ended within a message")
        elif self._handler is not None:
            try:
                self._handler.half_closed()
            except Exception as error:  # noqa: BLE001 - as above
                self._owner.failed(error)
                self.end(Status.INTERNAL, "internal error")

    def _refuse_encoding(self) -> None:
        if self._encoding in (b"", b"identity"):
            self.end(Status.INTERNAL, "a message is marked as compressed, and the call names no grpc-encoding")
        else:
            name = self._encoding.decode("latin-1")
            self.end(Status.UNIMPLEMENTED, f"messages are compressed with {name}, and only identity is read")

    # The peer's window.

    def take_turn(self) -> None:
        """This stream may keep as much as its messages need."""
        self._return_window()
        self._owner.has_sent(self)

    def return_window(self) -> None:
        """The peer takes its answers again."""
        if not self._is_deferred:
            self._return_window()

    def _return_window(self) -> None:
        """Let the peer send as much more as was handled, or as it may send without a limit while it has the turn."""
        if self._is_over:
            return
        assembler = self._assembler
        received = assembler.received
        if received + self._collected != self._kept and not self._keep(received + self._collected):
            self.end(Status.RESOURCE_EXHAUSTED, "the server keeps too many messages that are not complete")
            return
        is_large = self._collected + assembler.needed > limits.FREE_BYTES
        if is_large and self._owner.is_held_up(self):  # others may have the turn until the peer takes its answers
            self._leave_turn()
            self._owner.hold(self)
            return
        if is_large:
            self._wants_turn = True
            if self._owner.budget.has_turn(self):
                self._return(self._unreturned)
            return
        self._leave_turn()
        if self._unreturned - received >= limits.RETURN_BYTES:
            self._return(self._unreturned - received)

    def _leave_turn(self) -> None:
        if self._wants_turn:
            self._wants_turn = False
            self._owner.budget.leave(self)

    def _keep(self, kept: int) -> bool:
        more, self._kept = kept - self._kept, kept
        return self._owner.budget.keep(more)

    def _return(self, amount: int) -> None:
        owner = self._owner
        if owner.is_held_up(self):
            owner.hold(self)
        elif amount:
            self._unreturned -= amount
            owner.engine.consumed(self.id, amount)

    # To the peer.

    def send(self, messages: Sequence[bytes]) -> None:
        """See `Call`."""
        if self._is_over or not messages:
            return
        limit = self._owner.settings.send_limit
        if any(len(message) > limit for message in messages):
            self.end(Status.RESOURCE_EXHAUSTED, f"an answer is larger than {limit} bytes")
            return
        engine = self._owner.engine
        if not self._has_begun:
            self._has_begun = True
            engine.respond(self.id, headers.HEAD)
        if engine.send(self.id, framed(messages)):
            self._owner.has_sent(self)
        else:
            self._has_lost_output = True

    def end(self, status: Status = Status.OK, text: str = "") -> None:
        """See `Call`."""
        if self._is_over:
            return
        trailers, engine = headers.trailers(status, text), self._owner.engine
        if self._has_begun:
            engine.end(self.id, trailers)
        else:
            engine.respond(self.id, (*headers.HEAD, *trailers), ends=True)
        self._owner.has_sent(self)
        self.close(is_cut=self._has_lost_output)

    def close(self, *, is_cut: bool) -> None:
        """The stream is over, whoever ended it."""
        if self._is_over:
            return
        self._is_over = True
        owner = self._owner
        if self._unreturned:
            owner.engine.consumed(self.id, self._unreturned)
        if self._kept:
            owner.budget.keep(-self._kept)
        self._leave_turn()
        owner.forget(self)
        handler, self._handler = self._handler, None  # it has this call: each would keep the other
        if handler is not None:
            try:
                handler.closed(is_cut=is_cut or self._has_lost_output)
            except Exception as error:  # noqa: BLE001 - as above
                owner.failed(error)
