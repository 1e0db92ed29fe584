"""One HTTP exchange: the choices under way, and the way of their tokens to the client.

The driver's tick writes a streamed answer directly to the transport, chunk framing included: a coroutine per token
would cost more than the token. For a slow client tokens are only counted, not buffered.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from model_sim.api.calls import Choice
from model_sim.engine.request import Output

MAX_UNSENT_BYTES = 256 * 1024
"""A client this far behind gets no new frames until it reads; its tokens wait as a number."""


class Renderer(Protocol):
    """Turns choices into the bytes of one API."""

    def opening(self, choices: Sequence[Choice]) -> bytes: ...

    def frames(self, choice: Choice, start: int, end: int) -> bytes: ...

    def ending(self, choices: Sequence[Choice]) -> bytes: ...

    def body(self, choices: Sequence[Choice], transfer: dict[str, Any] | None) -> bytes: ...


class Exchange:
    """Receives the outputs of all choices of one call. `done` is set when the last one is complete."""

    def __init__(self, choices: Sequence[Choice], renderer: Renderer) -> None:
        self.choices = tuple(choices)
        self.renderer = renderer
        self.done = asyncio.Event()
        self.cut_after: int | None = None
        """A fault: break the connection after this many tokens."""
        self.limit: int | None = None
        """A fault: send no more than this many tokens of each choice for now."""
        self.reached = asyncio.Event()
        """Set when all tokens under the limit are sent."""
        self._by_id = {choice.request_id: choice for choice in choices}
        self._unfinished = len(self.choices)
        self._transport: asyncio.Transport | None = None
        self._chunked = False

    def attach(self, transport: asyncio.Transport | None, *, chunked: bool) -> None:
        """Stream to this transport from now on. The response's headers have been written to it."""
        self._transport = transport
        self._chunked = chunked

    def receive(self, output: Output) -> None:
        choice = self._by_id[output.request_id]
        choice.ready = output.tokens
        choice.cached_tokens = output.cached_tokens
        if output.completion is None:
            return
        if output.tokens < len(choice.answer.tokens):
            choice.cut(output.tokens, output.completion.finish_reason.value)
        choice.finished = True
        self._unfinished -= 1
        if not self._unfinished:
            self.done.set()

    def flush(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            return
        if self.cut_after is not None and sum(choice.ready for choice in self.choices) >= self.cut_after:
            self._transport = None
            transport.abort()
            return
        frames = self.unsent()
        if self.limit is not None and all(choice.sent >= self.limit for choice in self.choices):
            self.reached.set()
        if not frames:
            return
        if self._chunked:
            frames = b"%x\r\n%b\r\n" % (len(frames), frames)
        transport.write(frames)

    def unsent(self) -> bytes:
        """Frames of the tokens to send now, which count as sent from now on."""
        frames = []
        for choice in self.choices:
            end = choice.ready if self.limit is None else min(choice.ready, self.limit)
            if end > choice.sent:
                frames.append(self.renderer.frames(choice, choice.sent, end))
                choice.sent = end
        return b"".join(frames)
