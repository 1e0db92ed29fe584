"""Access log entries become feedback on the pick whose id they carry."""

import pytest

from epp.datalayer.report import CONNECT_FAILURES
from epp.domain import EndpointId, Feedback, FeedbackForwarded, PickId, PoolId
from epp.transports.accesslog import FORWARDED_SECONDS, FeedbackIntake, LogSight, read
from gateway import protos
from gateway.accesslog.entries import LogEntry

POOL = protos.load_pool()
Message = protos.message_class(POOL, "envoy.service.accesslog.v3.StreamAccessLogsMessage")
PICK = {"x-pointsman-pick-id": "r-1"}


def entry(**changes) -> LogEntry:
    given = {
        "is_final": True, "upstream": "10.0.0.1:80", "status": 200, "flags": (), "attempts": 1, "duration_seconds": 1.5,
        "tags": {"ttft": "250"}, "metadata": {"envoy.lb": PICK},
        "response_bytes": 900,
    }  # fmt: skip
    return LogEntry(**{**given, **changes})


def test_a_final_entry_says_where_it_was_served_how_it_went_and_how_long_it_took() -> None:
    usage = {"prompt_tokens": 7.0, "completion_tokens": 10.0, "cached_tokens": 4.0}
    final = entry(metadata={"envoy.lb": PICK, "llm": usage}, attempts=2, flags=("upstream_remote_reset",))
    assert read(final) == Feedback(
        PickId("r-1"), PoolId(""), is_final=True, served=EndpointId("10.0.0.1:80"), status=200,
        flags=("upstream_remote_reset",), attempts=2, ttft_seconds=0.25, duration_seconds=1.5, prompt_tokens=7,
        completion_tokens=10, cached_tokens=4, response_bytes=900,
    )  # fmt: skip


def test_an_entry_about_an_attempt_says_which_one_failed_and_why() -> None:
    found = read(entry(status=None, flags=("upstream_connection_failure",), tags={"pick": "r-1", "attempt": "2"}))
    assert found == Feedback(
        PickId("r-1"), PoolId(""), is_final=False, served=EndpointId("10.0.0.1:80"),
        flags=("upstream_connection_failure",), duration_seconds=1.5, failed_attempt=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("resp_1", "resp_1"), ("conv_1", "conv_1"), ("chatcmpl-1", None), ("resp_" + "x" * 200, None), (7.0, None)],
)
def test_the_id_of_a_stored_answer_is_kept(sent: object, expected: str | None) -> None:
    found = read(entry(metadata={"envoy.lb": PICK, "llm": {"id": sent}}))
    assert found is not None
    assert found.stored_id == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 98.0, "cached_tokens": 64.0, "cache_creation_tokens": 32.0}, 98),  # they are part of it
        ({"prompt_tokens": 2.0, "cached_tokens": 64.0, "cache_read_tokens": 64.0, "cache_creation_tokens": 32.0}, 98),
        ({"prompt_tokens": 34.0, "cached_tokens": 64.0, "cache_read_tokens": 64.0}, 98),
        ({"cache_read_tokens": 64.0}, None),
    ],
)
def test_tokens_that_the_messages_api_counts_beside_the_prompt_are_part_of_it(
    usage: dict[str, object], expected: int | None
) -> None:
    found = read(entry(metadata={"envoy.lb": PICK, "llm": usage}))
    assert found is not None
    assert found.prompt_tokens == expected


def test_a_stream_without_its_end_is_marked() -> None:
    found = read(entry(metadata={"envoy.lb": PICK, "llm": {"lacks_end": 1.0, "prompt_tokens": 7.0}}))
    assert found is not None
    assert (found.flags, found.prompt_tokens) == (("lacks_end",), 7)


def test_the_pick_of_the_http_door_is_found_in_its_own_namespace() -> None:
    found = read(entry(metadata={"envoy.filters.http.ext_authz": PICK}))
    assert found is not None
    assert found.pick_id == "r-1"


@pytest.mark.parametrize("metadata", [{}, {"envoy.lb": {}}, {"envoy.lb": {"x-pointsman-pick-id": 5}}, {"llm": PICK}])
def test_an_entry_without_a_pick_says_nothing(metadata: dict[str, dict[str, object]]) -> None:
    assert read(entry(metadata=metadata)) is None


@pytest.mark.parametrize("sent", ["-", "", "-5", "1e3", "²"])
def test_a_time_to_first_token_that_is_no_number_is_absent(sent: str) -> None:
    found = read(entry(tags={"ttft": sent}))
    assert found is not None
    assert found.ttft_seconds is None


@pytest.mark.parametrize(
    ("sent", "expected"), [("12", 12), (12.0, 12), (-1.0, None), ("x", None), (1e30, None), (float("nan"), None)]
)
def test_token_counts_are_numbers_or_absent(sent: object, expected: int | None) -> None:
    found = read(entry(metadata={"envoy.lb": PICK, "llm": {"prompt_tokens": sent}}))
    assert found is not None
    assert found.prompt_tokens == expected


class FakePicker:
    def __init__(self) -> None:
        self.feedbacks: list[tuple[str, bool, float]] = []
        self.counts: list[tuple[int, int, int]] = []

    def observe(self, feedback: Feedback, now: float) -> None:
        self.feedbacks.append((feedback.pick_id, feedback.is_final, now))

    def logged(self, finals: int, heartbeats: int, strangers: int) -> None:
        self.counts.append((finals, heartbeats, strangers))


def test_a_batch_is_told_in_order_and_counted_by_kind() -> None:
    picker = FakePicker()
    batch = (entry(is_final=False), entry(), entry(metadata={}))
    FeedbackIntake(picker, picker).receive(batch, 3.0)
    assert picker.feedbacks == [("r-1", False, 3.0), ("r-1", True, 3.0)]
    assert picker.counts == [(1, 1, 1)]


def test_a_replica_whose_entries_others_pass_on_is_logged_for_a_while_after_each() -> None:
    streams: list[str] = []
    sight = LogSight("r-a", lambda: bool(streams))
    assert not sight.is_logged(0.0)
    sight.shared(FeedbackForwarded(Feedback(PickId("r-b-1"), PoolId(""), True)), 0.0)
    assert not sight.is_logged(0.0)
    sight.shared(FeedbackForwarded(Feedback(PickId("r-a-1"), PoolId(""), True)), 1.0)
    assert sight.is_logged(FORWARDED_SECONDS)
    assert not sight.is_logged(1.0 + FORWARDED_SECONDS)
    streams.append("one")
    assert sight.is_logged(2.0 + FORWARDED_SECONDS)


def test_the_flags_of_failed_connections_are_flags_of_the_wire() -> None:
    flags = Message().http_logs.log_entry.add().common_properties.response_flags
    assert set(flags.DESCRIPTOR.fields_by_name) >= CONNECT_FAILURES
