"""Access log entries become feedback on the pick whose id they carry."""

import pytest

from epp.domain import EndpointId, Feedback, FeedbackForwarded, PickId, PoolId
from epp.picking.lessons import CONNECT_FAILURES
from epp.transports.accesslog import FORWARDED_SECONDS, NAMESPACES, FeedbackIntake, LogSight, read
from gateway.accesslog.receiver import Codec, LogEntry
from gateway.wire import protos

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
    told = entry(metadata={"envoy.lb": PICK, "llm": usage}, attempts=2, flags=("upstream_remote_reset",))
    assert read(told) == Feedback(
        PickId("r-1"), PoolId(""), is_final=True, served=EndpointId("10.0.0.1:80"), status=200,
        flags=("upstream_remote_reset",), attempts=2, ttft_seconds=0.25, duration_seconds=1.5, prompt_tokens=7,
        completion_tokens=10, cached_tokens=4, response_bytes=900,
    )  # fmt: skip


def test_the_pick_of_the_http_door_is_found_in_its_own_namespace() -> None:
    found = read(entry(metadata={"envoy.filters.http.ext_authz": PICK}))
    assert found is not None
    assert found.pick_id == "r-1"


@pytest.mark.parametrize("metadata", [{}, {"envoy.lb": {}}, {"envoy.lb": {"x-pointsman-pick-id": 5}}, {"llm": PICK}])
def test_an_entry_without_a_pick_says_nothing(metadata: dict[str, dict[str, object]]) -> None:
    assert read(entry(metadata=metadata)) is None


@pytest.mark.parametrize("said", ["-", "", "-5", "1e3", "²"])
def test_a_time_to_first_token_that_is_no_number_is_absent(said: str) -> None:
    found = read(entry(tags={"ttft": said}))
    assert found is not None
    assert found.ttft_seconds is None


@pytest.mark.parametrize(
    ("said", "expected"), [("12", 12), (12.0, 12), (-1.0, None), ("x", None), (1e30, None), (float("nan"), None)]
)
def test_token_counts_are_numbers_or_absent(said: object, expected: int | None) -> None:
    found = read(entry(metadata={"envoy.lb": PICK, "llm": {"prompt_tokens": said}}))
    assert found is not None
    assert found.prompt_tokens == expected


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[str, bool, float]] = []
        self.counts: list[tuple[int, int, int]] = []

    def feedback(self, feedback: Feedback, now: float) -> None:
        self.heard.append((feedback.pick_id, feedback.is_final, now))

    def logged(self, finals: int, heartbeats: int, strangers: int) -> None:
        self.counts.append((finals, heartbeats, strangers))


def test_a_batch_is_told_in_order_and_counted_by_kind() -> None:
    listener = Listener()
    batch = (entry(is_final=False), entry(), entry(metadata={}))
    FeedbackIntake(listener, lambda: 3.0, listener).receive(batch)
    assert listener.heard == [("r-1", False, 3.0), ("r-1", True, 3.0)]
    assert listener.counts == [(1, 1, 1)]


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


def message():
    found = Message()
    common = found.http_logs.log_entry.add().common_properties
    common.upstream_remote_address.socket_address.address = "::1"
    common.upstream_remote_address.socket_address.port_value = 81
    common.response_flags.upstream_connection_failure = True
    common.metadata.filter_metadata["envoy.lb"].fields["x-pointsman-pick-id"].string_value = "r-1"
    common.metadata.filter_metadata["other"].fields["secret"].string_value = "x"
    common.metadata.filter_metadata["llm"].fields["prompt_tokens"].number_value = 7
    common.custom_tags["ttft"] = "20"
    common.duration.seconds, common.duration.nanos = 1, 500_000_000
    common.upstream_request_attempt_count = 3
    found.http_logs.log_entry[0].response.response_code.value = 503
    found.http_logs.log_entry[0].response.response_body_bytes = 900
    return found


def test_entries_are_read_from_the_wire_with_only_the_wanted_metadata() -> None:
    assert Codec(NAMESPACES).decode(message().SerializeToString()) == (
        LogEntry(
            True, "[::1]:81", 503, ("upstream_connection_failure",), 3, 1.5, {"ttft": "20"},
            {"envoy.lb": PICK, "llm": {"prompt_tokens": 7.0}}, 900,
        ),
    )  # fmt: skip


def test_the_flags_of_failed_connections_are_flags_of_the_wire() -> None:
    flags = message().http_logs.log_entry[0].common_properties.response_flags
    assert set(flags.DESCRIPTOR.fields_by_name) >= CONNECT_FAILURES


def test_an_entry_of_a_live_request_is_not_final_and_may_lack_everything() -> None:
    found = Message()
    found.http_logs.log_entry.add().common_properties.intermediate_log_entry = True
    assert Codec(NAMESPACES).decode(found.SerializeToString()) == (LogEntry(False, "", None, (), 0, None, {}, {}),)


def test_what_is_no_log_message_gives_no_entries() -> None:
    assert Codec(NAMESPACES).decode(b"\xff\xff") == ()
