"""One connection of the HTTP door, as a machine: bytes in, questions for the brain and bytes out.

Pure: no sockets, no clock. The shell drives it

    receive(bytes) ─▶ advance() ─▶ Request        ask the brain, then answer(verdict)
                                 ─▶ BodyCheck     then answer_check(objection)
                                 ─▶ HealthCheck   then answer_health(is_ready)
                                 ─▶ None          more bytes are needed, or nothing more is read
    take_output() ─▶ bytes to write, in one piece for all that was answered

Requests on one connection are answered in their order, however the bytes were cut; at most one is asked at a time,
and while it waits for its answer further bytes are only held. After `is_finished` the machine reads nothing more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from epp.domain import Pick, Request, Verdict
from epp.transports.http import answers as http_answers
from epp.transports.http.head import Head, read_head
from gateway.wire.errors import ErrorCode, Rejection
from gateway.wire.protocol import BODY_LIMIT_BYTES

_HEAD_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost. Envoy stays far inside; the rest is for whoever else finds the port."""

    head_bytes: int = 64 * 1024  # Envoy's own default for request headers is 60 KiB
    body_bytes: int = BODY_LIMIT_BYTES
    request_seconds: float = 10.0  # from a request's first byte to its last: over loopback, 64 MiB take tenths
    idle_seconds: float = 7200.0  # Envoy drops idle connections after an hour; whoever closes first risks a request
    linger_seconds: float = 2.0  # after a last answer, so that unread bytes do not make a reset that eats it
    connections: int = 8192  # one per question in flight, so far more than a picker answers in its time


class HealthCheck(Enum):
    """A question about the door itself."""

    READY = "ready"


@dataclass(frozen=True, slots=True)
class BodyCheck:
    """A request that no route is for, which may be because of its body. Nobody is picked."""

    headers: Mapping[str, str]
    body: bytes


Question = Request | BodyCheck | HealthCheck


class HttpExchange:
    """The state of one connection."""

    __slots__ = (
        "_at", "_base_models", "_buffer", "_chunks", "_head", "_heard", "_is_closing", "_is_waiting", "_limits",
        "_missing", "_output", "_since", "broken_with", "is_finished",
    )  # fmt: skip

    def __init__(self, limits: Limits, base_models: Callable[[], Mapping[str, str]], now: float) -> None:
        self._limits = limits
        self._base_models = base_models
        self._buffer = b""  # received and not yet understood, from `_at` on: at most one head and what came with it
        self._at = 0
        self._head: Head | None = None  # of the request whose body is being received, or that waits for its answer
        self._chunks: list[bytes] = []
        self._missing = 0  # bytes of body still to come
        self._is_waiting = False
        self._is_closing = False
        self._output: list[bytes] = []
        self._heard = now
        self._since = now  # when the unfinished request began, or when the last one was complete
        self.broken_with: Rejection | None = None  # what came was no request
        self.is_finished = False

    @property
    def is_waiting(self) -> bool:
        """A request was asked and not yet answered."""
        return self._is_waiting

    @property
    def is_idle(self) -> bool:
        """Between two requests."""
        return self._head is None and not self._buffer

    def receive(self, data: bytes, now: float) -> None:
        """Take what arrived."""
        if self.is_finished:
            return
        self._heard = now
        if self.is_idle:
            self._since = now
        if self._missing and len(data) < self._missing:
            self._chunks.append(data)
            self._missing -= len(data)
        else:
            self._buffer = self._buffer[self._at :] + data if self._buffer else data
            self._at = 0

    def advance(self) -> Question | None:
        """The next question; answer it before asking for another."""
        if self._is_waiting or self.is_finished:
            return None
        if self._head is None and not self._read_head():
            return None
        return self._read_body()

    def answer(self, verdict: Verdict) -> bool:
        """Answer the request that waits. False: the pick could not be said on this door, so nobody will use it."""
        head = self._answered()
        objection = None
        if isinstance(verdict, Pick):
            objection = http_answers.objection(verdict, head.wants_model_headers)
        self._output.append(
            http_answers.of_verdict(
                objection or verdict,
                is_last=self.is_finished,
                is_head=head.method == "HEAD",
                base_models=self._base_models() if head.wants_model_headers else None,
            )
        )
        return objection is None

    def answer_check(self, objection: Rejection | None) -> None:
        """Answer the body check that waits."""
        if objection is not None:
            self.answer(objection)
        else:
            self._answered()
            self._output.append(http_answers.READY)

    def answer_health(self, is_ready: bool) -> None:
        """Answer the health check that waits."""
        self._answered()
        self._output.append(http_answers.READY if is_ready else http_answers.NOT_READY)

    def take_output(self) -> bytes:
        """Everything that is to be written now."""
        output = self._output
        if not output:
            return b""
        self._output = []
        return output[0] if len(output) == 1 else b"".join(output)

    def expire(self, now: float) -> None:
        """Let time pass: a request that is too slow is refused, a connection that was idle for long is over."""
        if self._is_waiting or self.is_finished:
            return
        if self.is_idle:
            self.is_finished = now - self._since >= self._limits.idle_seconds
        elif now - self._since >= self._limits.request_seconds:
            message = f"the request was not complete after {self._limits.request_seconds:g} s"
            self._break(Rejection(408, ErrorCode.INVALID_REQUEST, message))

    def close_after_this(self) -> None:
        """Read no further request than the one that is being received, if there is one."""
        self._is_closing = True
        if self.is_idle:
            self.is_finished = True

    def _read_head(self) -> bool:
        buffer, at = self._buffer, self._at
        if not buffer:
            return False
        limit = self._limits.head_bytes
        end = buffer.find(_HEAD_END, at, at + limit)
        if end < 0:
            if len(buffer) - at >= limit:
                message = f"the request's head may have {limit} bytes"
                self._break(Rejection(431, ErrorCode.REQUEST_TOO_LARGE, message))
            return False
        end += len(_HEAD_END)
        head = read_head(buffer[at:end], self._limits.body_bytes)
        if isinstance(head, Rejection):
            self._break(head)
            return False
        if head.expects_continue:
            self._output.append(http_answers.CONTINUE)
        self._head, self._missing, self._at = head, head.length, end
        return True

    def _read_body(self) -> Question | None:
        head = self._head
        if head is None:
            return None
        end = self._at + self._missing
        if end > len(self._buffer):
            self._hold_body()
            return None
        body = self._buffer[self._at : end] if self._missing else b""
        if self._chunks:
            body = b"".join((*self._chunks, body))
            self._chunks = []
        self._missing = 0
        if end == len(self._buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        self._is_waiting = True
        if head.is_health_check:
            return HealthCheck.READY
        if head.is_body_check:
            return BodyCheck(head.headers, body)
        return Request(head.pool, head.method, head.path, head.headers, body, None, head.fallbacks)

    def _hold_body(self) -> None:
        """Keep the part of a body that has come, as it came."""
        if self._at < len(self._buffer):
            part = self._buffer[self._at :]
            self._chunks.append(part)
            self._missing -= len(part)
        self._buffer, self._at = b"", 0

    def _answered(self) -> Head:
        head = self._head
        if head is None or not self._is_waiting:
            raise RuntimeError("an answer without a question")
        self._head, self._is_waiting, self._since = None, False, self._heard
        if self._is_closing or not head.is_kept_alive:
            self._finish()
        return head

    def _break(self, rejection: Rejection) -> None:
        self.broken_with = rejection
        self._output.append(http_answers.broken(rejection))
        self._finish()

    def _finish(self) -> None:
        self.is_finished = True
        self._head, self._buffer, self._at, self._chunks, self._missing = None, b"", 0, [], 0
