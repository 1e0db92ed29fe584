"""The Lua scripts use the names that other programs use."""

import re

from controlplane.xds.resources.scripts import script
from gateway.wire import protocol, quotas
from gateway.wire.bodies import STRUCTURE_LIMIT

_STRING = re.compile(r'^local ([A-Z_]+) = "([^"]*)"', re.MULTILINE)


def constants(name: str) -> dict[str, str]:
    return dict(_STRING.findall(script(name)))


def test_the_model_is_lifted_into_the_header_that_routes_match() -> None:
    assert constants("model_lift") == {
        "HEADER": protocol.MODEL_NAME,
        "OTHER_NAME": protocol.INFERENCE_MODEL,
    }


def test_the_lift_reads_as_much_structure_as_a_picker_takes() -> None:
    assert f"local MOST_STRUCTURE = {STRUCTURE_LIMIT} " in script("model_lift")


def test_a_missing_end_is_written_where_the_picker_reads_it() -> None:
    assert f'metadata:set(NAMESPACE, "{protocol.LACKS_END}", 1)' in script("stream_usage")


def test_usage_is_written_where_the_picker_reads_it() -> None:
    written = re.search(r"^local NAMES = \{\n(.*?)^\}", script("stream_usage"), re.MULTILINE | re.DOTALL)
    assert written is not None
    keys = re.findall(r"^  (\w+) = \{", written[1], re.MULTILINE)

    expected = {"NAMESPACE": protocol.USAGE_NAMESPACE, "STORED_ID": protocol.STORED_ID, "STREAMED": quotas.STREAMED}
    assert constants("stream_usage") == expected
    assert keys == [
        protocol.PROMPT_TOKENS,
        protocol.COMPLETION_TOKENS,
        protocol.TOTAL_TOKENS,
        protocol.CACHED_TOKENS,
        protocol.CACHE_READ_TOKENS,
        protocol.CACHE_CREATION_TOKENS,
        protocol.REASONING_TOKENS,
    ]
