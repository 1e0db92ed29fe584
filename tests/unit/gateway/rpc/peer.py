"""A gRPC client in memory, the other end of a `Connection`, and a service that echoes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import ngh2
from ngh2.events import DataReceived, ResponseReceived, StreamClosed, TrailersReceived

from gateway.rpc.budget import Budget
from gateway.rpc.calls import Call, Status
from gateway.rpc.connection import Connection, Shared
from gateway.rpc.frames import Assembler, framed
from gateway.rpc.limits import Settings

ECHO, FAIL, COLLECT = "/t.Test/Echo", "/t.Test/Fail", "/t.Test/Collect"
HEAD = (
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", ECHO.encode()), (b":authority", b"t"),
    (b"te", b"trailers"), (b"content-type", b"application/grpc"),
)  # fmt: skip


@dataclass
class Echo:
    """Answers each message with itself; `collects` answers them all at the end."""

    metadata: Mapping[str, str]
    call: Call
    collects: bool = False
    received: list[bytes] = field(default_factory=list)
    closes: list[bool] = field(default_factory=list)
    is_at_rest: bool = True
    fails: bool = False

    @property
    def is_collecting(self) -> bool:
        return self.collects

    def receive(self, message: bytes) -> None:
        if self.fails:
            raise ValueError("a mistake of the service")
        self.received.append(message)
        if not self.collects:
            self.call.send((message,))

    def half_closed(self) -> None:
        if self.collects:
            self.call.send((b"%d" % sum(map(len, self.received)),))
        self.call.end()

    def closed(self, *, is_cut: bool) -> None:
        self.closes.append(is_cut)


@dataclass
class Tests:
    """The service, and what an operator is told."""

    handlers: list[Echo] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    abuses: int = 0
    deferred: list[Callable[[], None]] = field(default_factory=list)

    __test__ = False

    def open(self, metadata: Mapping[str, str], call: Call, *, collects: bool = False, fails: bool = False) -> Echo:
        self.handlers.append(Echo(metadata, call, collects=collects, fails=fails))
        return self.handlers[-1]

    def handler_failed(self, error: Exception) -> None:
        self.failures.append(error)

    def abused(self) -> None:
        self.abuses += 1

    def shared(self, settings: Settings | None = None, budget: Budget | None = None) -> Shared:
        methods = {
            ECHO: self.open,
            FAIL: lambda metadata, call: self.open(metadata, call, fails=True),
            COLLECT: lambda metadata, call: self.open(metadata, call, collects=True),
        }
        return Shared(methods, self, self.deferred.append, budget or Budget(), settings or Settings())


@dataclass
class Answer:
    """What came on one stream."""

    head: Mapping[bytes, bytes] = field(default_factory=dict)
    trailers: Mapping[bytes, bytes] = field(default_factory=dict)
    messages: list[bytes] = field(default_factory=list)
    is_closed: bool = False
    assembler: Assembler = field(default_factory=lambda: Assembler(2**31))

    @property
    def status(self) -> Status | None:
        found = self.trailers.get(b"grpc-status", self.head.get(b"grpc-status"))
        return None if found is None else Status(int(found))

    @property
    def text(self) -> bytes:
        return self.trailers.get(b"grpc-message", self.head.get(b"grpc-message", b""))


class Pair:
    """A client and the connection that serves it. Nothing moves but by `exchange`."""

    def __init__(self, tests: Tests, shared: Shared | None = None, configuration: ngh2.Configuration | None = None):
        self.tests = tests
        self.now = 0.0
        self.wakes = 0
        self.connection = Connection(shared or tests.shared(), self._wake, 0.0)
        self.client = ngh2.Connection(ngh2.Role.CLIENT, configuration)
        self.client.initiate_connection()
        self.client.set_local_window_size(2**30)
        self.answers: dict[int, Answer] = {}
        self.exchange()

    def _wake(self) -> None:
        self.wakes += 1

    def open(self, path: str = ECHO, *more: tuple[bytes, bytes], end: bool = False) -> int:
        """Send a head; the number of the stream."""
        head = [(name, path.encode() if name == b":path" else value) for name, value in HEAD]
        stream = self.client.send_request([*head, *more], end_stream=end)
        self.answers[stream] = Answer()
        return stream

    def send(self, stream: int, *messages: bytes, end: bool = False) -> None:
        self.client.send_data(stream, framed(messages) if messages else b"", end_stream=end)

    def call(self, *messages: bytes, path: str = ECHO) -> Answer:
        """One whole call."""
        stream = self.open(path)
        self.send(stream, *messages, end=True)
        self.exchange()
        return self.answers[stream]

    def exchange(self, *, size: int = 2**30) -> None:
        """Let bytes pass both ways, in pieces of a size, until nothing moves."""
        while True:
            sent = self.client.data_to_send()
            for at in range(0, len(sent), size):
                self.receive(sent[at : at + size])
            if not self.answer() and not sent:
                return

    def receive(self, data: bytes) -> None:
        """The server reads."""
        self.connection.receive(data, self.now)
        self.advance()

    def advance(self) -> None:
        while self.connection.has_more:
            self.connection.advance(self.now)

    def answer(self) -> bytes:
        """The client reads what the server writes now."""
        output = self.connection.take_output()
        if output:
            self.client.receive_data(output)
        for event in self.client.events():
            self._take(event)
        return output

    def _take(self, event: object) -> None:
        match event:
            case ResponseReceived(stream_id=stream, headers=headers):
                self.answers[stream].head = dict(headers)
            case TrailersReceived(stream_id=stream, headers=headers):
                self.answers[stream].trailers = dict(headers)
            case StreamClosed(stream_id=stream):
                self.answers[stream].is_closed = True
            case DataReceived(stream_id=stream, data=data):
                answer = self.answers[stream]
                answer.assembler.feed(data)
                while (message := answer.assembler.take()) is not None:
                    answer.messages.append(message)

    def expire(self, now: float) -> None:
        """Let time pass until then."""
        self.now = now
        self.connection.expire(now)
        self.exchange()


def statuses(answers: Sequence[Answer]) -> list[Status | None]:
    return [answer.status for answer in answers]
