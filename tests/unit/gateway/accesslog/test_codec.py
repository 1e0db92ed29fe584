"""Entries of the access log as they come over the wire."""

from gateway import protos
from gateway.accesslog.codec import Codec
from gateway.accesslog.entries import LogEntry

METADATA = {"envoy.lb": ("x-pointsman-pick-id",), "llm": ("prompt_tokens", "cached_tokens")}
CODEC = Codec(METADATA, ("ttft",))
PICK = {"x-pointsman-pick-id": "r-1"}
Message = protos.message_class(protos.load_pool(), "envoy.service.accesslog.v3.StreamAccessLogsMessage")


def message():
    found = Message()
    common = found.http_logs.log_entry.add().common_properties
    common.upstream_remote_address.socket_address.address = "::1"
    common.upstream_remote_address.socket_address.port_value = 81
    common.response_flags.upstream_connection_failure = True
    common.metadata.filter_metadata["envoy.lb"].fields["x-pointsman-pick-id"].string_value = "r-1"
    common.metadata.filter_metadata["other"].fields["secret"].string_value = "x"
    common.metadata.filter_metadata["llm"].fields["prompt_tokens"].number_value = 7
    common.metadata.filter_metadata["llm"].fields["unread"].number_value = 7
    common.custom_tags["ttft"] = "20"
    common.custom_tags["unread"] = "x"
    common.duration.seconds, common.duration.nanos = 1, 500_000_000
    common.upstream_request_attempt_count = 3
    found.http_logs.log_entry[0].response.response_code.value = 503
    found.http_logs.log_entry[0].response.response_body_bytes = 900
    return found


def test_entries_are_read_from_the_wire_with_only_what_is_wanted() -> None:
    assert CODEC.decode(message().SerializeToString()) == (
        LogEntry(
            True, "[::1]:81", 503, ("upstream_connection_failure",), 3, 1.5, {"ttft": "20"},
            {"envoy.lb": PICK, "llm": {"prompt_tokens": 7.0}}, 900,
        ),
    )  # fmt: skip


def test_an_entry_of_a_live_request_is_not_final_and_may_lack_everything() -> None:
    found = Message()
    found.http_logs.log_entry.add().common_properties.intermediate_log_entry = True
    assert CODEC.decode(found.SerializeToString()) == (LogEntry(False, "", None, (), 0, None, {}, {}),)


def test_what_is_no_log_message_gives_no_entries() -> None:
    assert CODEC.decode(b"\xff\xff") == ()
