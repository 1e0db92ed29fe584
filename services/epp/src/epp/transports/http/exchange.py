"""One connection of the HTTP transport, as a machine: bytes in; questions for the picker, and bytes, out.

Pure: no sockets, no clock. The server drives it:

    receive(bytes) ─▶ advance() ─▶ Request        submit it, then answer(verdict): at once or as late as it comes
                                 ─▶ BodyCheck     then answer_check(objection)
                                 ─▶ HealthCheck   then answer_health(is_ready=…)
                                 ─▶ None          more bytes are needed, or nothing more is read
    take_output() ─▶ bytes to write, in one piece for all that was answered

and moves by the table `TRANSITIONS`:

    connection   HEAD     HEAD ▶ BODY, BREAK ▶ OVER, END ▶ OVER
                 BODY     BODY ▶ WAITING, BREAK ▶ OVER
                 WAITING    ANSWER ▶ HEAD, LAST_ANSWER ▶ OVER

Requests on one connection are answered in their order, however the bytes were cut; one question is out at a time, and
while it waits for its answer further bytes are only held. When the machine `is_finished`, it reads nothing more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from epp.domain import Pick, Request, Verdict
from epp.transports.http import answers as http_answers
from epp.transports.http.answers import NO_HEADERS
from epp.transports.http.head import Head, read_head
from epp.transports.http.inbox import Inbox
from epp.transports.http.limits import Limits
from epp.transports.route import is_left_to_others
from gateway.wire import refusals
from gateway.wire.encodings import decoded
from gateway.wire.errors import Rejection


class HealthCheck(Enum):
    """A question about the transport itself."""

    READY = "ready"


@dataclass(frozen=True, slots=True)
class BodyCheck:
    """A request that no route is for, which may be because of its body. Nobody is picked."""

    headers: Mapping[str, str]
    body: bytes


Question = Request | BodyCheck | HealthCheck


class State(IntEnum):
    HEAD = auto()  # between two requests, or within a head
    BODY = auto()
    WAITING = auto()  # a question is out and waits for its answer
    OVER = auto()


class Input(IntEnum):
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    LAST_ANSWER = auto()
    BREAK = auto()  # what came is no request, or came too slowly
    END = auto()  # the connection was idle for too long, or the transport closes


TRANSITIONS: Mapping[State, Mapping[Input, State]] = {
    State.HEAD: {Input.HEAD: State.BODY, Input.BREAK: State.OVER, Input.END: State.OVER},
    State.BODY: {Input.BODY: State.WAITING, Input.BREAK: State.OVER},
    State.WAITING: {Input.ANSWER: State.HEAD, Input.LAST_ANSWER: State.OVER},
    State.OVER: {},
}


class HttpExchange:
    """The state of one connection."""

    __slots__ = (
        "_base_models", "_head", "_inbox", "_is_closing", "_limits", "_output", "_received_at", "_since", "_state",
        "broken_with",
    )  # fmt: skip

    def __init__(self, limits: Limits, base_models: Callable[[], Mapping[str, str]], now: float) -> None:
        self._limits = limits
        self._base_models = base_models
        self._inbox = Inbox()
        self._state = State.HEAD
        self._head: Head | None = None  # of the request whose body is being received, or that waits for its answer
        self._is_closing = False
        self._output: list[bytes] = []
        self._received_at = now
        self._since = now  # when the unfinished request began, or when the last one was complete
        self.broken_with: Rejection | None = None  # what came was no request

    @property
    def is_finished(self) -> bool:
        return self._state is State.OVER

    @property
    def is_waiting(self) -> bool:
        """A question is out and not yet answered."""
        return self._state is State.WAITING

    @property
    def is_idle(self) -> bool:
        """Between two requests."""
        return self._state is State.HEAD and self._inbox.is_empty

    @property
    def body_bytes(self) -> int:
        """Of the request that is being received, or waits for its turn to be read."""
        return self._head.length if self._state is State.BODY and self._head is not None else 0

    @property
    def has_body(self) -> bool:
        """The body of this request is whole, and not yet read."""
        return self._state is State.BODY and self._inbox.has_body

    @property
    def is_overrun(self) -> bool:
        """The peer sends on and on behind a request that waits: no Envoy does."""
        return self.is_waiting and self._inbox.size > self._limits.held_bytes

    def receive(self, data: bytes, now: float) -> None:
        """Take what arrived."""
        if self.is_finished:
            return
        self._received_at = now
        if self.is_idle:
            self._since = now
        self._inbox.receive(data)

    def advance(self) -> Question | None:
        """The next question; answer it before asking for another."""
        while True:
            if self._state is State.HEAD and not self._inbox.is_empty:
                self._read_head()
            question = self._read_body() if self._state is State.BODY else None
            if not isinstance(question, Rejection):
                return question
            self.answer(question)

    def answer(self, verdict: Verdict) -> bool:
        """Answer the request that waits. False: this transport cannot carry the pick, so nobody will use it."""
        head = self._answered()
        if is_left_to_others(verdict, head.lower_tiers):
            self._output.append(http_answers.unpicked(is_last=self.is_finished))
            return True
        objection = None
        if isinstance(verdict, Pick):
            objection = http_answers.objection(
                verdict, wants_model_headers=head.wants_model_headers, headers=head.headers
            )
        answer = objection or verdict
        self._output.append(
            http_answers.of_verdict(
                answer,
                is_last=self.is_finished,
                is_head=head.method == "HEAD",
                request={**head.headers, ":path": head.path} if isinstance(answer, Rejection) else NO_HEADERS,
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

    def answer_health(self, *, is_ready: bool) -> None:
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
        if self.is_waiting or self.is_finished:
            return
        seconds = now - self._since
        if self.is_idle:
            if seconds >= self._limits.idle_seconds:
                self._move(Input.END)
        elif seconds >= self._limits.request_seconds:
            self._break(refusals.too_slow(self._limits.request_seconds))

    def restart_clock(self, now: float) -> None:
        """Have the request's time begin now: until now nobody read what came of it."""
        self._since = now

    def close_after_this(self) -> None:
        """Read no further request than the one that is being received, if there is one."""
        self._is_closing = True
        if self.is_idle:
            self._move(Input.END)

    def _read_head(self) -> None:
        limit = self._limits.head_bytes
        data = self._inbox.take_head(limit)
        if data is None:
            if self._inbox.size >= limit:
                self._break(refusals.head_too_large(limit))
            return
        head = read_head(data, self._limits.body_bytes)
        if isinstance(head, Rejection):
            self._break(head)
            return
        if head.expects_continue:
            self._output.append(http_answers.CONTINUE)
        self._head = head
        self._inbox.expect_body(head.length)
        self._move(Input.HEAD)

    def _read_body(self) -> Question | Rejection | None:
        head, sent = self._head, self._inbox.take_body()
        if head is None or sent is None:
            return None
        self._move(Input.BODY)
        if head.is_health_check:
            return HealthCheck.READY
        body = decoded(head.headers, sent)
        if isinstance(body, Rejection):
            return body
        if head.is_body_check:
            return BodyCheck(head.headers, body)
        longest_wait = float(head.longest_wait) or None
        return Request(
            head.pool,
            head.method,
            head.path,
            head.headers,
            body=body,
            fallbacks=head.fallbacks,
            first_token=head.first_token,
            longest_wait=longest_wait,
            lower_tiers=head.lower_tiers,
        )

    def _answered(self) -> Head:
        head = self._head
        is_last = self._is_closing or (head is not None and not head.is_kept_alive)
        self._move(Input.LAST_ANSWER if is_last else Input.ANSWER)
        assert head is not None, "a question has a head"
        self._head, self._since = None, self._received_at
        return head

    def _break(self, rejection: Rejection) -> None:
        self.broken_with = rejection
        self._output.append(http_answers.broken(rejection))
        self._move(Input.BREAK)

    def _move(self, given: Input) -> None:
        state = TRANSITIONS[self._state].get(given)
        if state is None:
            raise RuntimeError(f"{given.name} cannot come in state {self._state.name}")
        self._state = state
        if state is State.OVER:
            self._head = None
            self._inbox.clear()
