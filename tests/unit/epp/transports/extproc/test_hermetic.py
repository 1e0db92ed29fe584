"""Upstream's black-box vectors as ext_proc exchanges, in every way a proxy hands over a body.

Deviations: errors are JSON with a code, a request without endpoints gets 503, bodies keep their bytes, answers are not
held back, and headers are changed one by one instead of being written anew.
"""

from collections.abc import Sequence
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.config import parse_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, PoolId, PoolSpec, RewriteRule, RewriteTarget
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.streams import OpenStreams
from epp.transports.route import Route
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    Event,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    Reply,
    TrailersReceived,
    TrailersReply,
)

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
POOL = PoolId("default/vllm-qwen3-32b-pool")
KEY = "x-gateway-destination-endpoint"
CONFIG = """
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: queue-scorer}, {type: kv-cache-utilization-scorer}, {type: prefix-cache-scorer},
          {type: lora-affinity-scorer}]
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
  - {pluginRef: lora-affinity-scorer, weight: 1}
"""
PASSTHROUGH = CONFIG.replace(
    "plugins: [", "parser: {pluginRef: passthrough-parser}\nplugins: [{type: passthrough-parser}, ", 1
)
REWRITES = (RewriteRule(frozenset({"model-to-be-rewritten"}), (RewriteTarget("rewritten-model", 1),), "r"),)
ROUTE = Route(POOL)
PODS = ((3, 0.2), (0, 0.1), (10, 0.2))
MODES = (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL, BodyMode.FULL_DUPLEX_STREAMED, BodyMode.STREAMED)
HEADERS = {":method": "POST", ":path": "/v1/completions", "hi": "mom", "x-request-id": "test-request-id",
           "x-gateway-inference-objective": "my-model"}  # fmt: skip


def address(index: int) -> EndpointId:
    return EndpointId(f"192.168.1.{index + 1}:8000")


def body(model: str = "my-model-12345") -> bytes:
    return orjson.dumps({"max_tokens": 100, "model": model, "prompt": "test1", "temperature": 0})


def talk(
    mode: BodyMode,
    pods: Sequence[tuple[int, float]] = PODS,
    config: str = CONFIG,
    answers: BodyMode = BodyMode.NONE,
    route: Route = ROUTE,
) -> PickConversation:
    picker = Picker(parse_config(config, "test"), random=Random(1), replica="r", observer=NullObserver())
    endpoints = tuple(Endpoint(address(at), address(at).split(":")[0], 8000, f"pod-{at}") for at in range(len(pods)))
    picker.replace_pools({POOL: PoolSpec(POOL, endpoints, {"my-model": 2}, REWRITES)}, 0.0)
    for at, (waiting, usage) in enumerate(pods):
        picker.scraped(POOL, address(at), EngineMetrics(waiting=waiting, running=0, kv_usage=usage), 1.0)
    modes = Modes(mode, answers, body_comes_early=True)
    return PickConversation(route, picker, OpenStreams(picker, lambda: True), lambda _replies: None, modes)


def events(mode: BodyMode, chunks: Sequence[bytes], *, metadata: Metadata | None = None, trailers: bool = False,
           headers: dict[str, str] = HEADERS) -> list[Event]:  # fmt: skip
    if mode in (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL):
        chunks = [b"".join(chunks)]
    last = len(chunks) - 1
    bodies = [BodyReceived(REQUEST, chunk, at == last and not trailers) for at, chunk in enumerate(chunks)]
    return [
        HeadersReceived(REQUEST, headers, end_of_stream=False, metadata=metadata or {}), *bodies,
        *([TrailersReceived(REQUEST)] if trailers else []),
    ]  # fmt: skip


def run(conversation: PickConversation, sent: Sequence[Event]) -> list[Reply]:
    return [reply for event in sent for reply in conversation.receive(event, 1.1)]


def chosen(replies: Sequence[Reply]) -> str:
    """The destination, the same in header and metadata, in exactly one reply."""
    (reply,) = (each for each in replies if isinstance(each, HeadersReply | BodyReply) and each.mutation.set_headers)
    found = dict(reply.mutation.set_headers)[KEY]
    assert reply.mutation.metadata["envoy.lb"][KEY] == found
    return found


def upstream(mode: BodyMode, sent: bytes, replies: Sequence[Reply]) -> bytes:
    """The body as the model server gets it."""
    if mode is BodyMode.FULL_DUPLEX_STREAMED:
        return b"".join(reply.data for reply in replies if isinstance(reply, ChunkReply))
    changed = [reply.body for reply in replies if isinstance(reply, BodyReply) and reply.body is not None]
    return b"".join(changed) if changed else sent


@pytest.mark.parametrize("mode", MODES)
def test_the_endpoint_with_the_shorter_queue_and_emptier_cache_gets_the_body_as_it_is(mode: BodyMode) -> None:
    replies = run(talk(mode), events(mode, [body()]))
    assert chosen(replies) == address(1)
    assert upstream(mode, body(), replies) == body()


@pytest.mark.parametrize("mode", MODES)
def test_a_body_split_over_chunks_is_joined(mode: BodyMode) -> None:
    replies = run(talk(mode), events(mode, [body()[:13], body()[13:]]))
    assert chosen(replies) == address(1)
    assert upstream(mode, body(), replies) == body()


@pytest.mark.parametrize("mode", MODES)
def test_a_rewritten_model_arrives(mode: BodyMode) -> None:
    replies = run(talk(mode), events(mode, [body("model-to-be-rewritten")]))
    assert upstream(mode, b"", replies) == body("rewritten-model")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [(b"no healthy upstream", "invalid_json", "not valid JSON"), (b'{"prompt":"hello"}', "invalid_request", "model")],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_400(mode: BodyMode, sent: bytes, code: str, words: str) -> None:
    reply = run(talk(mode), events(mode, [sent]))[-1]
    assert isinstance(reply, ImmediateReply)
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (400, code)
    assert words in error["message"]


@pytest.mark.parametrize("mode", MODES)
def test_the_passthrough_parser_reads_no_body(mode: BodyMode) -> None:
    replies = run(talk(mode, config=PASSTHROUGH), events(mode, [b"raw \x00 bytes"]))
    assert chosen(replies) == address(1)
    assert upstream(mode, b"raw \x00 bytes", replies) == b"raw \x00 bytes"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ((address(0), address(1), address(2)), address(1)),
        ((address(2),), address(2)),
        ("192.168.1.3:8000, 192.168.1.9:8000", address(2)),
        (("192.168.1.9:8000",), None),
        ((), None),
    ],
)
def test_the_subset_of_the_proxy_holds(mode: BodyMode, subset: object, expected: str | None) -> None:
    metadata = {"envoy.lb.subset_hint": {"x-gateway-destination-endpoint-subset": subset}}
    replies = run(talk(mode), events(mode, [body()], metadata=metadata))
    if expected is not None:
        assert chosen(replies) == expected
        return
    assert isinstance(replies[-1], ImmediateReply)
    assert replies[-1].status == 503


def test_an_operator_may_have_the_subset_ignored() -> None:
    conversation = talk(BodyMode.BUFFERED, route=Route(POOL, honours_subset=False))
    metadata = {"envoy.lb.subset_hint": {"x-gateway-destination-endpoint-subset": (address(2),)}}
    assert chosen(run(conversation, events(BodyMode.BUFFERED, [body()], metadata=metadata))) == address(1)


@pytest.mark.parametrize("mode", [BodyMode.NONE, *MODES])
def test_headers_alone_are_answered_at_once(mode: BodyMode) -> None:
    (reply,) = run(talk(mode), [HeadersReceived(REQUEST, HEADERS | {":method": "GET"}, end_of_stream=True)])
    assert chosen([reply]) == address(1)


@pytest.mark.parametrize("mode", [BodyMode.NONE, *MODES])
def test_without_endpoints_headers_alone_get_503(mode: BodyMode) -> None:
    (reply,) = run(talk(mode, pods=()), [HeadersReceived(REQUEST, HEADERS | {":method": "GET"}, end_of_stream=True)])
    assert isinstance(reply, ImmediateReply)
    assert reply.status == 503


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, BodyMode.STREAMED])
def test_a_body_that_ends_by_trailers_is_decided(mode: BodyMode) -> None:
    replies = run(talk(mode), events(mode, [body()], trailers=True))
    assert chosen(replies) == address(1)
    assert isinstance(replies[-1], TrailersReply)
    assert upstream(mode, body(), replies) == body()


@given(places=st.lists(st.integers(0, 80), max_size=12), model=st.sampled_from(["my-model", "model-to-be-rewritten"]))
def test_any_chunking_gives_the_same_commands(places: list[int], model: str) -> None:
    mode, sent = BodyMode.FULL_DUPLEX_STREAMED, body(model)
    edges = [0, *sorted(min(place, len(sent)) for place in places), len(sent)]
    chunks = [sent[start:end] for start, end in zip(edges, edges[1:], strict=False)]  # noqa: RUF007 - named ends
    whole, cut = run(talk(mode), events(mode, [sent])), run(talk(mode), events(mode, chunks))
    assert [_without_id(reply) for reply in cut] == [_without_id(reply) for reply in whole]


def _without_id(reply: Reply) -> object:
    if not isinstance(reply, HeadersReply):
        return reply
    return reply.mutation.set_headers, reply.mutation.remove_headers, reply.mutation.metadata["envoy.lb"][KEY]


@pytest.mark.parametrize(
    ("content_type", "chunks"),
    [
        ("application/json", [b'{"a": 1, ', b'"b": 2}']),
        ("application/json", [b"not js", b"on"]),
        ("application/json", [b'{"a": 1}', b""]),
        ("text/event-stream", [b"data: {}\n\n", b'data: {"usage":{"prompt_tokens":7}}\n\ndata: [DONE]\n\n', b""]),
    ],
)
def test_answers_pass_chunk_by_chunk(content_type: str, chunks: list[bytes]) -> None:
    conversation = talk(BodyMode.FULL_DUPLEX_STREAMED, answers=BodyMode.FULL_DUPLEX_STREAMED)
    run(conversation, events(BodyMode.FULL_DUPLEX_STREAMED, [body()]))
    headers = {":status": "200", "content-type": content_type}
    assert run(conversation, [HeadersReceived(RESPONSE, headers, end_of_stream=False)]) == [HeadersReply(RESPONSE)]
    last = len(chunks) - 1
    for at, chunk in enumerate(chunks):
        assert run(conversation, [BodyReceived(RESPONSE, chunk, at == last)]) == [
            ChunkReply(RESPONSE, chunk, at == last)
        ]


def test_the_api_is_known_by_the_path_before_a_rewrite() -> None:
    headers = HEADERS | {":path": "/rewritten", "x-original-path": "/v1/chat/completions"}
    conversation = talk(BodyMode.BUFFERED)
    reply = run(conversation, events(BodyMode.BUFFERED, [b'{"model":"m","messages":[]}'], headers=headers))[-1]
    assert isinstance(reply, ImmediateReply)
    assert orjson.loads(reply.body)["error"]["param"] == "messages"
