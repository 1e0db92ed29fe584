"""A conversation that answers every request, its server on either transport, and a proxy's side of the calls."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import grpc.aio

from gateway import protos
from gateway.extproc.codec import Codec
from gateway.extproc.conversation import Push
from gateway.extproc.processor import ExternalProcessor
from gateway.extproc.protocol.exchange import Decide, Exchange, Proceed
from gateway.extproc.protocol.messages import BodyMode, Event, ImmediateReply, Modes, Mutation, Reply
from gateway.rpc.server import Serving, serving

POOL = protos.load_pool()
ProcessingRequest = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingRequest")
ProcessingResponse = protos.message_class(POOL, "envoy.service.ext_proc.v3.ProcessingResponse")
PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


class Talk:
    """Lets every request proceed, at once or when it is released; `ends` makes it finish with its last reply."""

    def __init__(self, metadata: dict[str, str], push: Push, ends: bool) -> None:
        self.metadata = metadata
        self.push = push
        self.closed = 0
        self.waits = False
        self.was_cut = False
        self._ends = ends
        self._exchange = Exchange(Modes(BodyMode.BUFFERED, BodyMode.NONE))

    @property
    def is_finished(self) -> bool:
        return self._exchange.is_closed or (self._ends and self._exchange.request_is_over)

    @property
    def is_at_rest(self) -> bool:
        return self._exchange.is_at_rest

    @property
    def is_collecting(self) -> bool:
        return self._exchange.is_collecting

    def receive(self, event: Event, now: float) -> Sequence[Reply]:
        replies: list[Reply] = []
        for step in self._exchange.receive(event):
            if isinstance(step, Decide) and self.waits:
                replies += self._exchange.wait()
            elif isinstance(step, Decide):
                replies += self._exchange.decided(Proceed(Mutation((("size", str(len(step.body))),))))
            else:
                replies.append(step)
        return replies

    def release(self, decision: Proceed | ImmediateReply) -> None:
        """Decide about the request that waits."""
        self.push(self._exchange.decided(decision))

    def close(self, now: float, *, is_cut: bool = False) -> None:
        self.closed += 1
        self.was_cut = is_cut


class Counts:
    def __init__(self) -> None:
        self.violations: list[str] = []

    def violation(self, reason: str) -> None:
        self.violations.append(reason)


class Server:
    def __init__(self, how: Serving, *, ends: bool = False, waits: bool = False) -> None:
        self.how = how
        self._waits = waits
        self.talks: list[Talk] = []
        self.counts = Counts()
        self.processor = ExternalProcessor(
            lambda metadata, push: self._open(dict(metadata), push, ends), Codec(), lambda: 0.0, self.counts
        )

    def _open(self, metadata: dict[str, str], push: Push, ends: bool) -> Talk:
        self.talks.append(Talk(metadata, push, ends))
        self.talks[-1].waits = self._waits
        return self.talks[-1]

    @asynccontextmanager
    async def client(self) -> AsyncIterator[grpc.aio.Channel]:
        async with serving([self.processor], "127.0.0.1:0", self.how) as port, channel(port) as opened:
            yield opened


@asynccontextmanager
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as opened:
        yield opened


def stream(opened: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()):
    process = opened.stream_stream(PROCESS, lambda message: message.SerializeToString(), ProcessingResponse.FromString)
    return process(metadata=metadata)


def headers(*, end: bool = False):
    message = ProcessingRequest()
    message.request_headers.end_of_stream = end
    return message


def body(data: bytes = b"{}"):
    message = ProcessingRequest()
    message.request_body.body, message.request_body.end_of_stream = data, True
    return message


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def picked(call) -> None:
    await call.write(headers())
    await call.read()
    await call.write(body())
    await call.read()
