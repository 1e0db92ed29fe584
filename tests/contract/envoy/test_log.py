"""What the picker learns from Envoy's log: tokens, attempts, times, heartbeats."""

import pytest

from controlplane.options import Options, PickerTransport
from gateway.rpc.server import Transport
from gateway.wire.protocol import HEARTBEAT_SECONDS
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.log_entries import last_entry, usage_of

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
async def test_usage_of_an_answer_reaches_the_picker(bed: Bed, content_type: str) -> None:
    bed.two.content_type = content_type
    bed.two.padding = 8_000_000
    bed.pick(bed.dead, bed.two)

    answer = await bed.ask()

    assert len(answer.body) > 8_000_000
    entry = await last_entry(bed)
    assert usage_of(entry) == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, "cached_tokens": 4}
    common = entry.common_properties
    assert (common.upstream_request_attempt_count, common.upstream_cluster) == (2, "pool_default_open")
    assert common.upstream_remote_address.socket_address.port_value == bed.two.port
    assert int(common.custom_tags["ttft"]) >= 0
    namespace = "envoy.lb" if bed.transport is PickerTransport.EXT_PROC else "envoy.filters.http.ext_authz"
    assert common.metadata.filter_metadata[namespace]["x-pointsman-pick-id"] == "pick-1"
    assert entry.response.response_code.value == 200


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
@pytest.mark.parametrize("grpc_transport", [Transport.NGHTTP2], ids=["nghttp2"])
async def test_usage_of_a_stream_and_its_heartbeats_reach_the_picker(bed: Bed) -> None:
    bed.two.gap = 1.3 * HEARTBEAT_SECONDS / 10  # there are ten: in all longer than one heartbeat, shorter than two
    bed.pick(bed.two)

    await bed.ask(body=b'{"model": "open", "stream": true}')

    assert usage_of(await last_entry(bed))["total_tokens"] == 12
    are_live = [entry.common_properties.intermediate_log_entry for entry in bed.picker.log.entries]
    assert are_live == [True, False]


async def test_extraction_switched_off_leaves_everything_but_tokens(make_bed: MakeBed) -> None:
    async with make_bed(Options(usage_extraction=False)) as bed:
        bed.pick(bed.two)
        await bed.ask()

        entry = await last_entry(bed)

    assert usage_of(entry) == {}
    assert int(entry.common_properties.custom_tags["ttft"]) >= 0
