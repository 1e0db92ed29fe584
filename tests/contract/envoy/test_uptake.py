"""What Envoy made of a configuration, however it gets it: taken, or refused while the former goes on."""

import pytest

from controlplane.options import PickerTransport
from tests.contract.envoy.conftest import ROUTE, Bed

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.deliveries,
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

# Right for the check of the manifests, and more than RE2 takes.
TOO_LARGE = ROUTE.replace("{path: {value: /v1}", "{path: {type: RegularExpression, value: '/(a{100}){100}'}", 1)


async def test_a_refusal_is_known_and_the_former_routes_go_on_until_something_better_comes(bed: Bed) -> None:
    bed.pick(bed.two)
    refused = await bed.gateway.apply(route=TOO_LARGE)
    during = (await bed.ask()).status
    repaired = await bed.gateway.apply(route=ROUTE.replace("/v1", "/v2"))
    after = [(await bed.ask(path=path)).status for path in ("/v1/chat/completions", "/v2/chat/completions")]

    assert refused.refusals
    assert not refused.is_taken
    assert during == 200
    assert repaired.is_taken
    assert after == [404, 200]


async def test_what_is_taken_is_known_for_every_kind_of_change(bed: Bed) -> None:
    port = f"port: {bed.one.port}"
    for change in (
        {"route": ROUTE.replace("/v1", "/v2")},
        {"endpoints": bed.gateway.files["endpoints"].replace(port, f"port: {bed.dead}")},
        {"pools": bed.gateway.files["pools"].replace("FailClose", "FailOpen")},
    ):
        assert (await bed.gateway.apply(**change)).is_taken
