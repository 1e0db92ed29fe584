"""Slices and names become the endpoints of pools and Services."""

from pathlib import Path

import pytest

from gateway.kube.objects import Manifests, ObjectName
from gateway.kube.resolution.endpoints import HostPort, format_endpoint, hostnames, pool_endpoints, service_endpoints
from gateway.kube.sources.files import load

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: p}
spec:
  selector: {matchLabels: {app: a}}
  targetPorts: [{number: 8000}, {number: 8001}]
  endpointPickerRef: {name: epp, port: {number: 9002}}
"""


def manifests(folder: Path, *texts: str) -> Manifests:
    (folder / "a.yaml").write_text("\n---\n".join(texts))
    loaded = load([folder])
    assert loaded.problems == ()
    return loaded.manifests


def piece(
    name: str, kind: str, endpoints: str, *, ports: str = "", labels: str = "app: a", namespace: str = "default"
) -> str:
    return (
        f"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        f"metadata: {{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}\n"
        f"addressType: {kind}\nendpoints: {endpoints}\n" + (f"ports: {ports}\n" if ports else "")
    )


def listed(found: Manifests, addresses: dict[str, tuple[str, ...]] | None = None) -> list[str]:
    return [str(item) for item in pool_endpoints(found.pools[ObjectName("default", "p")], found, addresses or {})]


def test_each_address_and_target_port_is_an_endpoint(tmp_path: Path) -> None:
    found = manifests(tmp_path, POOL, piece("s", "IPv4", "[{addresses: [10.0.0.1]}, {addresses: [10.0.0.2]}]"))

    assert listed(found) == ["10.0.0.1:8000", "10.0.0.1:8001", "10.0.0.2:8000", "10.0.0.2:8001"]


def test_a_slices_own_port_named_http_or_first_replaces_the_target_ports(tmp_path: Path) -> None:
    named = piece("a", "IPv4", "[{addresses: [10.0.0.1]}]", ports="[{name: m, port: 1}, {name: http, port: 2}]")
    first = piece("b", "IPv4", "[{addresses: [10.0.0.2]}]", ports="[{name: m, port: 1}, {port: 2}]")

    assert listed(manifests(tmp_path, POOL, named, first)) == ["10.0.0.1:2", "10.0.0.2:1"]


def test_other_labels_other_namespaces_and_the_unready_stay_out(tmp_path: Path) -> None:
    found = manifests(
        tmp_path,
        POOL,
        piece("a", "IPv4", "[{addresses: [10.0.0.1]}]", labels="app: b"),
        piece("b", "IPv4", "[{addresses: [10.0.0.2]}]", namespace="other"),
        piece("c", "IPv4", "[{addresses: [10.0.0.3], conditions: {ready: false}}]"),
        piece("leaving", "IPv4", "[{addresses: [10.0.0.4], conditions: {terminating: true}}]"),
        piece(
            "serving", "IPv4", "[{addresses: [10.0.0.5], conditions: {ready: true, serving: true, terminating: true}}]"
        ),
        piece("d", "IPv4", "[{addresses: [10.0.0.4], conditions: {serving: false}}]", labels="app: a, extra: b"),
    )

    assert listed(found) == ["10.0.0.4:8000", "10.0.0.4:8001"]


def test_a_name_is_an_endpoint_for_each_of_its_addresses(tmp_path: Path) -> None:
    found = manifests(tmp_path, POOL, piece("a", "FQDN", "[{addresses: [sim, gone]}]", ports="[{port: 1}]"))

    assert listed(found, {"sim": ("10.0.0.1", "fd00:0::2")}) == ["10.0.0.1:1", "[fd00::2]:1"]
    assert listed(found) == []
    assert hostnames(found) == {"sim", "gone", "epp.default.svc"}


def test_one_address_in_two_slices_is_one_endpoint_with_its_first_name(tmp_path: Path) -> None:
    first = piece(
        "a", "IPv6", "[{addresses: ['fd00:0:0::1'], targetRef: {kind: Pod, name: pod-a}}]", ports="[{port: 1}]"
    )
    second = piece("b", "IPv6", "[{addresses: ['fd00::1'], hostname: b}]", ports="[{port: 1}]")
    found = manifests(tmp_path, POOL, first, second)

    (endpoint,) = pool_endpoints(found.pools[ObjectName("default", "p")], found, {})

    assert (str(endpoint), endpoint.name, endpoint.labels) == ("[fd00::1]:1", "pod-a", {"app": "a"})


@pytest.mark.parametrize(
    ("service", "ports", "expected"),
    [
        pytest.param(
            "[{name: grpc, port: 9002, targetPort: 7}]", "[{name: grpc, port: 7}, {name: m, port: 8}]", 7, id="name"
        ),
        pytest.param("[{port: 9002}]", "[{port: 7}]", 7, id="lone"),
        pytest.param("[{port: 9002, targetPort: 6}]", "", 6, id="target-port"),
        pytest.param("[{port: 9002, targetPort: grpc}]", "", 9002, id="named-target-without-slice-port"),
    ],
)
def test_a_services_port_is_found_in_its_slice(tmp_path: Path, service: str, ports: str, expected: int) -> None:
    found = manifests(
        tmp_path,
        f"apiVersion: v1\nkind: Service\nmetadata: {{name: epp}}\nspec: {{ports: {service}}}",
        piece("e", "IPv4", "[{addresses: [10.0.0.1]}]", ports=ports, labels="kubernetes.io/service-name: epp"),
    )

    assert service_endpoints(found, "default", "epp", 9002, {}) == (HostPort("10.0.0.1", expected),)


def test_a_service_without_a_slice_is_found_by_its_name(tmp_path: Path) -> None:
    found = manifests(tmp_path, POOL)

    assert hostnames(found) == {"epp.default.svc"}
    assert service_endpoints(found, "default", "epp", 9002, {"epp.default.svc": ("10.0.0.1",)}) == (
        HostPort("10.0.0.1", 9002),
    )
    assert service_endpoints(found, "default", "epp", 9002, {}) == ()


def test_a_mirrored_service_is_looked_up_too(tmp_path: Path) -> None:
    mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: copy, port: 80}}}"
    route = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"
        f"spec: {{rules: [{{filters: [{mirror}], backendRefs: [{{name: s, port: 80}}]}}]}}\n"
    )

    assert hostnames(manifests(tmp_path, route)) == {"s.default.svc", "copy.default.svc"}


def test_an_endpoint_is_written_with_brackets_where_needed() -> None:
    assert format_endpoint("10.0.0.1", 80) == "10.0.0.1:80"
    assert format_endpoint("fd00::1", 80) == "[fd00::1]:80"


def kubectl_pod(name: str, address: str, *, status: str = "True", deleted: str = "", labels: str = "app: a") -> str:
    """As `kubectl get pods -o yaml` prints one, shortened."""
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{{labels}}}
  uid: 7d3f
  resourceVersion: "1234"
  creationTimestamp: "2026-01-01T00:00:00Z"
  {f'deletionTimestamp: "{deleted}"' if deleted else "generateName: vllm-"}
spec:
  containers:
  - name: vllm
    ports: [{{containerPort: 8000, name: http, protocol: TCP}}]
status:
  conditions:
  - {{type: Initialized, status: "True"}}
  - {{type: Ready, status: "{status}", lastTransitionTime: "2026-01-01T00:00:10Z"}}
  hostIP: 192.168.0.1
  phase: Running
  podIP: {address}
  podIPs: [{{ip: {address}}}, {{ip: "fd00::7"}}]
"""


def test_ready_pods_of_the_selector_are_endpoints_on_every_target_port(tmp_path: Path) -> None:
    found = manifests(
        tmp_path,
        POOL,
        kubectl_pod("ready", "10.0.0.1"),
        kubectl_pod("unready", "10.0.0.2", status="False"),
        kubectl_pod("leaving", "10.0.0.3", deleted="2026-01-01T01:00:00Z"),
        kubectl_pod("other", "10.0.0.4", labels="app: b"),
    )

    assert listed(found) == ["10.0.0.1:8000", "10.0.0.1:8001"]
    (first, _) = pool_endpoints(found.pools[ObjectName("default", "p")], found, {})
    assert (first.name, dict(first.labels)) == ("ready", {"app": "a"})


def test_a_slice_that_names_a_pods_address_decides_about_it(tmp_path: Path) -> None:
    unready = piece("s", "IPv4", "[{addresses: [10.0.0.1], conditions: {ready: false}}]")

    assert listed(manifests(tmp_path, POOL, unready, kubectl_pod("a", "10.0.0.1"))) == []
    assert listed(manifests(tmp_path, POOL, unready, kubectl_pod("b", "10.0.0.2"))) == [
        "10.0.0.2:8000",
        "10.0.0.2:8001",
    ]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("8001", ["10.0.0.1:8001"]),
        (" 8000 , 9", ["10.0.0.1:8000"]),
        ("", []),
        ("8000,8001", ["10.0.0.1:8000", "10.0.0.1:8001"]),
    ],
)
def test_a_pod_says_which_of_the_pools_ports_are_live(tmp_path: Path, annotation: str, expected: list[str]) -> None:
    live = f"  annotations: {{inference.networking.k8s.io/active-ports: '{annotation}'}}\n  uid: 7d3f\n"
    pod = kubectl_pod("a", "10.0.0.1").replace("  uid: 7d3f\n", live)

    assert listed(manifests(tmp_path, POOL, pod)) == expected


@pytest.mark.parametrize(("target", "expected"), [("8001", 8001), ("http", 8000), ("other", 80)])
def test_a_service_without_a_slice_is_found_through_the_pods_that_it_selects(
    tmp_path: Path, target: str, expected: int
) -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n"
        f"spec: {{selector: {{app: a}}, ports: [{{port: 80, targetPort: {target}}}]}}\n"
    )
    pods = (kubectl_pod("one", "10.0.0.1"), kubectl_pod("two", "10.0.0.2", status="False"))
    found = manifests(tmp_path, service, *pods)

    assert [str(item) for item in service_endpoints(found, "default", "s", 80, {})] == [f"10.0.0.1:{expected}"]
    assert "s.default.svc" not in hostnames(found, [ObjectName("default", "s")])
