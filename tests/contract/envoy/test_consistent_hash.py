"""A Service whose DestinationRule orders a consistent hash, on a real Envoy: who asks alike reaches the same server."""

from collections.abc import Mapping

import pytest

from controlplane.options import Delivery, PickerTransport
from tests.contract.envoy.conftest import MakeBed
from tests.contract.envoy.fakes import ModelServer
from tests.contract.envoy.gateway_under_test import slice_of

pytestmark = [
    pytest.mark.envoy,
    pytest.mark.parametrize("delivery", [Delivery.GRPC], ids=["ads"]),
    pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"]),
]

PLAIN = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: plain}
spec:
  parentRefs: [{name: gateway}]
  rules: [{matches: [{path: {value: /plain}}], backendRefs: [{name: plain, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: plain}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: plain}
spec: {host: "*.default.svc.cluster.local", trafficPolicy: {loadBalancer: {consistentHash: HASH}}}
"""


@pytest.mark.parametrize(
    "hashed",
    [
        "{httpHeaderName: x-user}",
        "{httpHeaderName: x-user, ringHash: {minimumRingSize: 64}}",
        "{httpHeaderName: x-user, maglev: {tableSize: 251}}",
        "{httpCookie: {name: user, path: /, ttl: 0s}}",
        "{httpQueryParameterName: user}",
        "{useSourceIp: true}",
    ],
)
async def test_requests_that_hash_alike_reach_one_server(make_bed: MakeBed, hashed: str) -> None:
    async with ModelServer("a").serving() as one, ModelServer("b").serving() as two:
        slices = [slice_of(each.name, each.port, {"kubernetes.io/service-name": "plain"}) for each in (one, two)]
        async with make_bed(plain=PLAIN.replace("HASH", hashed) + "".join(slices)) as bed:

            async def server(user: int) -> object:
                sent: Mapping[str, str] = {"x-user": f"{user}", "cookie": f"user={user}"}
                return (await bed.ask(path=f"/plain?user={user}", headers=sent)).server

            first = [await server(user) for user in range(24)]
            assert [await server(user) for user in range(24)] == first
            assert len(set(first)) == (1 if "useSourceIp" in hashed else 2)
