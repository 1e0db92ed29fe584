"""The Endpoint Picker Protocol over ext_proc, with a picker that decides as the test wants, at once or later."""

import orjson
import pytest

from epp.domain import EndpointId, Feedback, Outcome, Pick, PickId, PoolId, Reply, Request, Ticket, Verdict, Waiter
from epp.transports.extproc.answers import subset_hint
from epp.transports.extproc.conversation import PickConversation
from epp.transports.extproc.response import usage
from epp.transports.extproc.streams import GRACE_SECONDS, WAITING_LIMIT, OpenStreams
from epp.transports.route import Route, route_of
from gateway.extproc.protocol import messages
from gateway.extproc.protocol.messages import (
    BodyMode,
    BodyReceived,
    BodyReply,
    ChunkReply,
    Direction,
    HeadersReceived,
    HeadersReply,
    ImmediateReply,
    Metadata,
    Modes,
    Mutation,
)
from gateway.wire.errors import ErrorCode, Rejection

REQUEST, RESPONSE = Direction.REQUEST, Direction.RESPONSE
HEADERS = {":method": "POST", ":path": "/v1/completions", "content-type": "application/json"}
PICK = Pick(
    PickId("r-1"),
    PoolId("default/a"),
    (EndpointId("10.0.0.1:80"), EndpointId("[::1]:81")),
    (("x-prefiller-host-port", "p:1"),),
)


class Picker:
    """Gives its verdict; without one it lets each request wait."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict
        self.requests: list[Request] = []
        self.waiters: list[Waiter] = []
        self.pushed: list[messages.Reply] = []
        self.events: list[object] = []

    def submit(self, request: Request, waiter: Waiter, now: float) -> Verdict | Ticket:
        self.requests.append(request)
        self.waiters.append(waiter)
        return self.verdict or Ticket(len(self.waiters))

    def cancel(self, ticket: Ticket, now: float) -> None:
        self.events.append((ticket, now))

    def settle(self, pick_id: PickId, outcome: Outcome, now: float) -> None:
        self.events.append((pick_id, outcome, now))

    def observe(self, feedback: Feedback, now: float) -> None:
        self.events.append(feedback)


def conversation(
    picker: Picker, mode: BodyMode = BodyMode.BUFFERED, response: BodyMode = BodyMode.NONE, *, logged: bool = False,
    streams: OpenStreams | None = None, longest_wait: int = 0,
):  # fmt: skip
    streams = streams or OpenStreams(picker, lambda: logged)
    route = Route(PoolId("default/a"), longest_wait=longest_wait)
    return PickConversation(route, picker, streams, picker.pushed.extend, Modes(mode, response))


def submitted(
    verdict: Verdict, *, headers: dict[str, str] = HEADERS, metadata: Metadata | None = None, body: bytes = b"{}"
):
    picker = Picker(verdict)
    talk = conversation(picker)
    talk.receive(HeadersReceived(REQUEST, headers, end_of_stream=False, metadata=metadata or {}), 1.0)
    return picker, talk, talk.receive(BodyReceived(REQUEST, body, end_of_stream=True), 2.0)


@pytest.mark.parametrize(
    ("code", "lower_tiers", "goes_on"),
    [
        (ErrorCode.NO_READY_ENDPOINT, 1, True),
        (ErrorCode.NO_READY_ENDPOINT, 0, False),
        (ErrorCode.POOL_SATURATED, 1, True),
        (ErrorCode.INVALID_REQUEST, 1, False),
    ],
)
def test_a_request_that_a_lower_tier_can_serve_goes_on_without_a_pick(
    code: ErrorCode, lower_tiers: int, goes_on: bool
) -> None:
    picker = Picker(Rejection(503, code, "no"))
    talk = PickConversation(
        Route(PoolId("default/a"), lower_tiers=lower_tiers),
        picker,
        OpenStreams(picker, lambda: False),
        picker.pushed.extend,
        Modes(BodyMode.BUFFERED, BodyMode.NONE),
    )
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 1.0)
    (reply,) = talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 2.0)

    assert isinstance(reply, BodyReply) is goes_on
    assert isinstance(reply, ImmediateReply) is not goes_on


def test_a_pick_goes_into_header_and_metadata_with_one_value_and_its_id_beside() -> None:
    picker, talk, replies = submitted(PICK)
    destination = "10.0.0.1:80,[::1]:81"
    assert replies == [
        BodyReply(
            REQUEST,
            Mutation(
                (("x-gateway-destination-endpoint", destination), ("x-prefiller-host-port", "p:1")),
                metadata={"envoy.lb": {"x-gateway-destination-endpoint": destination, "x-pointsman-pick-id": "r-1"}},
            ),
        )
    ]
    assert picker.requests == [Request(PoolId("default/a"), "POST", "/v1/completions", HEADERS, b"{}", None)]
    assert not talk.is_finished
    assert talk.is_at_rest


def test_a_request_without_a_body_is_picked_in_the_headers_reply() -> None:
    talk = conversation(Picker(PICK))
    (reply,) = talk.receive(HeadersReceived(REQUEST, {":method": "GET", ":path": "/"}, end_of_stream=True), 0.0)
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.metadata["envoy.lb"]["x-pointsman-pick-id"] == "r-1"


def test_control_headers_that_no_client_may_send_are_removed_and_harmless_ones_stay() -> None:
    sent = {
        **HEADERS, "x-gateway-destination-endpoint": "evil:1", "x-gateway-destination-endpoint-subset": "evil:1",
        "x-gateway-inference-pool": "other/pool", "x-gateway-inference-objective": "food", "x-gateway-model-name": "m",
        "x-gateway-inference-fairness-id": "me", "x-gateway-model-name-rewrite": "n",
    }  # fmt: skip
    _, _, (reply,) = submitted(PICK, headers=sent)
    assert set(reply.mutation.remove_headers) == {"x-gateway-destination-endpoint-subset", "x-gateway-inference-pool"}
    assert dict(reply.mutation.set_headers)["x-gateway-destination-endpoint"] == "10.0.0.1:80,[::1]:81"


@pytest.mark.parametrize(
    "name",
    ["x-prefiller-host-port", "x-encoder-hosts-ports", "x-data-parallel-host-port", "x-kv-cache-source-host-port"],
)
def test_no_client_says_to_whom_a_model_server_turns(name: str) -> None:
    plain = Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),))
    _, _, (reply,) = submitted(plain, headers={**HEADERS, name: "evil:1"})
    assert reply.mutation.remove_headers == (name,)


def test_the_prefill_endpoint_replaces_what_the_client_sent() -> None:
    _, _, (reply,) = submitted(PICK, headers={**HEADERS, "x-prefiller-host-port": "evil:1"})
    assert reply.mutation.remove_headers == ()
    assert dict(reply.mutation.set_headers)["x-prefiller-host-port"] == "p:1"


def test_a_rewritten_body_goes_on_with_its_length() -> None:
    _, _, (reply,) = submitted(Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),), body=b"rewritten"))
    assert reply.body == b"rewritten"
    assert dict(reply.mutation.set_headers)["content-length"] == "9"


def test_a_rejection_is_an_openai_error_and_ends_the_conversation() -> None:
    rejection = Rejection(429, ErrorCode.POOL_SATURATED, "busy", retry_after=1.5)
    picker, talk, (reply,) = submitted(rejection)
    assert isinstance(reply, ImmediateReply)
    assert (reply.status, reply.details) == (429, "pool_saturated")
    assert reply.headers == (("content-type", "application/json"), ("retry-after", "2"))
    assert orjson.loads(reply.body)["error"] == {
        "message": "busy",
        "type": "rate_limit_error",
        "param": None,
        "code": "pool_saturated",
    }
    assert talk.is_finished
    talk.close(3.0)
    assert picker.events == []


def test_the_model_list_is_answered_by_the_picker_itself() -> None:
    _, talk, (reply,) = submitted(Reply(b'{"data":[]}'))
    assert reply == ImmediateReply(200, (("content-type", "application/json"),), b'{"data":[]}')
    assert talk.is_finished


def test_the_end_of_the_stream_settles_the_pick_once_and_at_that_time() -> None:
    picker, talk, _ = submitted(PICK)
    talk.close(7.5)
    assert picker.events == [("r-1", Outcome.ENDED, 7.5)]


def test_a_stream_is_open_from_its_pick_to_its_end() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, streams=streams)
    assert not streams.picks
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    assert streams.picks == {"r-1"}
    talk.close(9.0)
    assert not streams.picks


def test_a_pick_that_the_proxy_never_heard_of_is_unused() -> None:
    picker, talk, _ = submitted(PICK)
    talk.close(7.5, is_cut=True)
    assert picker.events == [("r-1", Outcome.UNUSED, 7.5)]


def test_a_stream_cut_in_the_response_has_used_its_pick() -> None:
    picker = Picker(PICK)
    talk = conversation(picker, response=BodyMode.STREAMED, logged=True)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, end_of_stream=False), 2.0)
    talk.close(7.5, is_cut=True)
    assert picker.events == [("r-1", Outcome.ENDED, 7.5)]


def test_a_stream_that_broke_before_the_pick_settles_nothing() -> None:
    picker = Picker(PICK)
    talk = conversation(picker)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0)
    talk.close(1.0)
    assert picker.events == []


def test_half_a_body_is_picked_without_it() -> None:
    picker = Picker(PICK)
    talk = conversation(picker, BodyMode.BUFFERED_PARTIAL)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0)
    talk.receive(BodyReceived(REQUEST, b'{"model', end_of_stream=False), 0.0)
    assert picker.requests[0].body == b""


def test_full_duplex_sends_headers_then_the_body() -> None:
    talk = conversation(Picker(PICK), BodyMode.FULL_DUPLEX_STREAMED)
    assert talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 0.0) == []
    first, second = talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 0.0)
    assert isinstance(first, HeadersReply)
    assert second == ChunkReply(REQUEST, b"{}", end_of_stream=True)


def respond(talk: PickConversation, *chunks: bytes) -> list[messages.Reply]:
    served = {"envoy.lb": {"x-gateway-destination-endpoint-served": "[::1]:81"}}
    replies = [*talk.receive(HeadersReceived(RESPONSE, {":status": "200"}, False, served), 3.0)]
    for number, chunk in enumerate(chunks):
        replies += talk.receive(BodyReceived(RESPONSE, chunk, number == len(chunks) - 1), 4.0 + number)
    return replies


def test_behind_a_gateway_without_access_log_the_response_tells_how_it_went() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=False), 1.0)
    talk.receive(BodyReceived(REQUEST, b"{}", end_of_stream=True), 2.0)
    usage = (
        b'data: {"usage":{"prompt_tokens":7,"completion_tokens":10,"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
    )
    respond(talk, b"data: {}\n\n", usage[:30], usage[30:], b"data: [DONE]\n\n")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    settled, feedback = picker.events
    assert feedback == Feedback(
        PickId("r-1"), PoolId("default/a"), is_final=True, served=EndpointId("[::1]:81"), status=200, ttft_seconds=2.0,
        duration_seconds=7.0, prompt_tokens=7, completion_tokens=10, cached_tokens=4,
    )  # fmt: skip
    assert settled == ("r-1", Outcome.ENDED, 9.0)


@pytest.mark.parametrize(
    "chunks",
    [
        [b'{"id":"resp_1","object":"response","status":"queued"}'],
        [
            b'event: response.created\ndata: {"type":"response.created","response":{"id":"re',
            b'sp_1"}}\n\n',
            b"data: {}\n\n",
        ],
    ],
)
def test_the_server_that_keeps_a_response_is_known_before_its_stream_ends(chunks: list[bytes]) -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, *chunks)

    (feedback,) = picker.events
    assert isinstance(feedback, Feedback)
    assert (feedback.is_final, feedback.served, feedback.stored_id) == (False, "[::1]:81", "resp_1")


def test_the_id_of_a_chat_is_nothing_to_keep() -> None:
    picker = Picker(PICK)
    talk = conversation(picker, BodyMode.BUFFERED, BodyMode.FULL_DUPLEX_STREAMED)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b'{"id":"chatcmpl-1","choices":[]}')

    assert picker.events == []


@pytest.mark.parametrize(
    ("status", "served"), [("200", "10.0.0.1:80"), ("404", "10.0.0.1:80"), ("500", "10.0.0.1:80"), ("503", None)]
)
def test_a_gateway_that_does_not_say_who_served_is_taken_to_have_asked_the_first(
    status: str, served: str | None
) -> None:
    picker = Picker(Pick(PickId("r-1"), PoolId("default/a"), (EndpointId("10.0.0.1:80"), EndpointId("10.0.0.2:80"))))
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    talk.receive(HeadersReceived(RESPONSE, {":status": status}, end_of_stream=False), 2.0)
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    _, feedback = picker.events
    assert isinstance(feedback, Feedback)
    assert feedback.served == served


def test_counts_that_no_answer_has_are_none_of_a_response() -> None:
    assert usage(b'{"usage": {"prompt_tokens": 999999999, "completion_tokens": 0}}') == (999_999_999, 0, None)
    assert usage(b'{"usage": {"prompt_tokens": 1000000000, "completion_tokens": 9223372036854775807}}') == (None,) * 3


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 4}}, (7, 3, 4)),
        ({"input_tokens": 7, "output_tokens": 3}, (7, 3, None)),
        ({"input_tokens": 7, "output_tokens": 3, "cache_read_input_tokens": 0}, (7, 3, 0)),
        (
            {"input_tokens": 2, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 32, "output_tokens": 3},
            (98, 3, 64),
        ),
        ({"prompt_tokens": 7, "completion_tokens": 3, "input_tokens": 0, "output_tokens": 0}, (7, 3, None)),
    ],
)
def test_usage_is_read_under_the_names_that_responses_and_messages_give_it_too(
    sent: dict[str, object], expected: tuple[int | None, ...]
) -> None:
    assert usage(orjson.dumps({"usage": sent})) == expected


def test_with_an_access_log_the_response_is_not_told_twice() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: True)
    talk = conversation(picker, response=BodyMode.STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b"{}")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS)
    assert picker.events == [("r-1", Outcome.ENDED, 9.0)]


def test_the_response_waits_a_grace_for_an_access_log_that_opens_with_its_first_entry() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    talk = conversation(picker, response=BodyMode.STREAMED, streams=streams)
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    respond(talk, b"{}")
    talk.close(9.0)
    streams.report(9.0 + GRACE_SECONDS / 2)
    assert picker.events == [("r-1", Outcome.ENDED, 9.0)]
    for _ in range(2):
        streams.report(9.0 + GRACE_SECONDS)
        assert len(picker.events) == 2


def test_responses_that_wait_are_bounded_and_the_oldest_is_told_early() -> None:
    picker = Picker(PICK)
    streams = OpenStreams(picker, lambda: False)
    for _ in range(WAITING_LIMIT + 1):
        talk = conversation(picker, streams=streams)
        talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
        respond(talk)
        talk.close(9.0)
    assert sum(isinstance(event, Feedback) for event in picker.events) == 1


def test_an_explained_pick_puts_its_words_on_the_response() -> None:
    talk = conversation(Picker(Pick(PickId("r-1"), PoolId("p"), (EndpointId("e:1"),), explain=(("x-why", "most"),))))
    talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)
    assert respond(talk) == [HeadersReply(RESPONSE, Mutation((("x-why", "most"),)))]


SUBSET = "x-gateway-destination-endpoint-subset"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (("a:1", " b:2 "), ("a:1", "b:2")),
        ("a:1, b:2,", ("a:1", "b:2")),
        ((), ()),
        ("", ()),
        ((1.0, None), ()),
        (None, ()),
    ],
)
def test_the_subset_is_a_list_or_a_comma_list_and_present_but_empty_allows_nobody(
    value: object, expected: tuple[str, ...]
) -> None:
    assert subset_hint({"envoy.lb.subset_hint": {SUBSET: value}}) == expected


@pytest.mark.parametrize("metadata", [{}, {"envoy.lb.subset_hint": {}}, {"envoy.lb": {SUBSET: "a:1"}}])
def test_without_its_key_there_is_no_subset(metadata: Metadata) -> None:
    assert subset_hint(metadata) is None


POOL = "x-gateway-inference-pool"


@pytest.mark.parametrize(("sent", "pool"), [({POOL: " default/a "}, "default/a"), ({POOL: ""}, None), ({}, None)])
def test_the_pool_is_what_the_route_named(sent: dict[str, str], pool: str | None) -> None:
    assert route_of(sent).pool == pool


@pytest.mark.parametrize(
    ("sent", "fallbacks"), [("3", 3), ("99", 8), ("-1", 0), ("²", 0), ("1" * 5000, 0), ("", 0), ("two", 0)]
)
def test_fallbacks_are_a_small_number_or_none(sent: str, fallbacks: int) -> None:
    assert route_of({"x-gateway-fallback-endpoints": sent}).fallbacks == fallbacks


def waiting(**options: object) -> tuple[Picker, PickConversation, list[messages.Reply]]:
    picker = Picker(None)
    talk = conversation(picker, **options)  # type: ignore[arg-type]
    return picker, talk, [*talk.receive(HeadersReceived(REQUEST, HEADERS, end_of_stream=True), 1.0)]


def test_a_request_that_waits_is_answered_when_it_is_decided() -> None:
    picker, talk, replies = waiting()
    assert (replies, talk.is_at_rest, talk.is_finished) == ([], False, False)
    picker.waiters[0].decide(PICK, 5.0)
    (reply,) = picker.pushed
    assert isinstance(reply, HeadersReply)
    assert reply.mutation.metadata["envoy.lb"]["x-pointsman-pick-id"] == "r-1"
    assert talk.is_at_rest
    talk.close(9.0)
    assert picker.events == [("r-1", Outcome.ENDED, 9.0)]


def test_a_late_refusal_ends_the_conversation() -> None:
    picker, talk, _ = waiting()
    picker.waiters[0].decide(Rejection(429, ErrorCode.POOL_SATURATED, "busy"), 5.0)
    assert [reply.status for reply in picker.pushed if isinstance(reply, ImmediateReply)] == [429]
    assert talk.is_finished


def test_a_wait_asks_for_more_time_where_the_route_allows_it() -> None:
    _, _, replies = waiting(longest_wait=10)
    assert replies == [messages.MoreTime(10)]


def test_a_stream_that_ends_while_its_request_waits_cancels_it() -> None:
    picker, talk, _ = waiting()
    talk.close(3.0, is_cut=True)
    assert picker.events == [(Ticket(1), 3.0)]


def test_a_late_pick_that_was_not_written_is_unused() -> None:
    picker, talk, _ = waiting()
    picker.waiters[0].decide(PICK, 5.0)
    talk.close(5.1, is_cut=True)
    assert picker.events == [("r-1", Outcome.UNUSED, 5.1)]


def test_a_late_pick_that_was_written_is_used() -> None:
    picker, talk, _ = waiting()
    picker.waiters[0].decide(PICK, 5.0)
    talk.close(5.1)
    assert picker.events == [("r-1", Outcome.ENDED, 5.1)]
