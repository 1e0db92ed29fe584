"""What is gone for a while is a few lines in a log, not a line for each request, on a real Envoy.

What a Redis that refuses writes into the picker's log is in `tests/integration/epp/sharing/test_refusals.py`.
https://github.com/redis/redis/issues/575
"""

from dataclasses import replace

import pytest

from controlplane.options import PickerTransport
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST

pytestmark = pytest.mark.envoy

REQUESTS = 200
MOST_LINES = 10


def logged(bed: Bed) -> int:
    return len((bed.gateway.folder / "envoy.log").read_text(errors="replace").splitlines())


@pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])
async def test_without_the_router_envoy_writes_no_line_for_each_request(make_bed: MakeBed) -> None:
    async with make_bed() as bed:
        bed.gateway.options = replace(bed.gateway.options, bbr=(HOST, bed.dead))
        await bed.gateway.apply()
        before = logged(bed)

        assert {(await bed.ask()).status for _ in range(REQUESTS)} == {503}

        assert logged(bed) - before <= MOST_LINES


async def test_without_a_picker_envoy_writes_no_line_for_each_request(make_bed: MakeBed) -> None:
    async with make_bed() as bed:
        await bed.picker.stop()
        before = logged(bed)

        assert {(await bed.ask("open")).status for _ in range(REQUESTS)} == {200}

        assert logged(bed) - before <= MOST_LINES
