"""How a pool that takes over from another backend is reached, looked at as the JSON that Envoy reads."""

import json
from pathlib import Path
from typing import Any

from controlplane.options import Options
from controlplane.render import render
from controlplane.xds.files import contents
from gateway.kube.sources.files import load
from gateway.wire import protocol
from tests.conftest import ROOT
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, service

MIDDLE, LAST = "takeover_default_r_0_1", "takeover_default_r_0_2"


def route(*backends: str) -> str:
    refs = ", ".join(f"{{kind: InferencePool, {backend}}}" for backend in backends)
    return (
        "apiVersion: aigateway.envoyproxy.io/v1beta1\nkind: AIGatewayRoute\nmetadata: {name: r}\n"
        f"spec: {{parentRefs: [{{name: g}}], rules: [{{backendRefs: [{refs}]}}]}}\n"
    )


def slice_of(name: str) -> str:
    return (
        f"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\n"
        "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\n"
    )


def files(folder: Path, *texts: str) -> dict[str, Any]:
    found = render(manifests(folder, gateway(), service(), *texts), {}, Options())
    assert found.faults == ()
    return {name: json.loads(content) for name, content in contents(found.snapshot).items()}


THREE = (
    route("name: a", "name: b, priority: 1", "name: c, priority: 2"),
    *(text for name in "abc" for text in (pool(name), slice_of(name))),
)


def metadata_of(found: dict[str, Any], listener: str) -> dict[str, str]:
    """The metadata that goes to the picker with the requests of a listener within Envoy."""
    (config,) = (
        item for name, file in found.items() if name.startswith(f"rds/{listener}") for item in file["resources"]
    )
    (route,) = (item for item in config["virtual_hosts"][0]["routes"] if item["name"] != "route-not-found")
    overrides = route["typed_per_filter_config"]["envoy.filters.http.ext_proc/epp"]["overrides"]
    return {item["key"]: item["value"] for item in overrides["grpc_initial_metadata"]}


def test_each_lower_pool_has_a_listener_within_envoy(tmp_path: Path) -> None:
    found = files(tmp_path, *THREE)

    listeners = {item["name"] for item in found["lds.json"]["resources"] if "internal_listener" in item}
    (assignment,) = found["eds/share_default_r_0_0.json"]["resources"]
    reached = [str(endpoint) for tier in assignment["endpoints"][1:] for endpoint in tier["lb_endpoints"]]
    assert listeners == {MIDDLE, LAST}
    assert [name in text for name, text in zip((MIDDLE, LAST), reached, strict=True)] == [True, True]


def test_a_picker_waits_briefly_where_another_tier_follows(tmp_path: Path) -> None:
    found = files(tmp_path, *THREE)

    middle, last = metadata_of(found, MIDDLE), metadata_of(found, LAST)
    assert (middle[protocol.POOL_METADATA], middle[protocol.LONGEST_WAIT_METADATA]) == ("default/b", "1")
    assert (last[protocol.POOL_METADATA], last[protocol.LONGEST_WAIT_METADATA]) == ("default/c", "60")
    assert protocol.LOWER_TIERS_METADATA not in {*middle, *last}


def test_a_pool_without_a_picker_or_an_endpoint_has_none(tmp_path: Path) -> None:
    texts = (route("name: a", "name: b, priority: 1", "name: c, priority: 2"), pool("a"), slice_of("a"))
    found = files(tmp_path, *texts, pool("b", picker=""), slice_of("b"), pool("c"))

    (assignment,) = found["eds/share_default_r_0_0.json"]["resources"]
    assert "envoy_internal_address" not in str(assignment)
    assert "10.0.0.1" in str(assignment["endpoints"][1])


def test_published_manifests_are_whole() -> None:
    loaded = load([ROOT / "tests/data/manifests/providers"])

    assert render(loaded.manifests, {}, Options()).faults == ()


def test_an_attempt_that_is_silent_for_too_long_ends(tmp_path: Path) -> None:
    idle = route("name: a").replace("[{backendRefs", "[{streamIdleTimeout: 30s, backendRefs")
    found = files(tmp_path, idle, pool("a"), slice_of("a"))

    (config,) = (file["resources"][0] for name, file in found.items() if name.startswith("rds/"))
    policies = [item["route"]["retry_policy"] for item in config["virtual_hosts"][0]["routes"] if "/r/" in item["name"]]
    assert [policy["per_try_idle_timeout"] for policy in policies] == ["30s"]
