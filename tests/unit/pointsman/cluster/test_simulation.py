"""What is simulated for a folder of manifests."""

import json
from pathlib import Path

import pytest
import yaml

from gateway.kube.objects import Manifests, ObjectName
from gateway.kube.resolution.endpoints import pool_endpoints, service_endpoints
from pointsman.cluster import overlay
from pointsman.cluster.addresses import Addresses, NoAddressError
from pointsman.cluster.echo import answer_of
from pointsman.cluster.first_request import FirstRequest, first_request
from pointsman.cluster.listeners import bound
from pointsman.cluster.process import process_of
from pointsman.cluster.simulation import MAX_SERVERS, Cluster, Simulation, simulate
from processes.plan import Ports
from tests.unit.pointsman.cluster.reading import documents_in, manifests_in, workloads_in

POOL = """apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: p}
spec:
  selector: {matchLabels: {app: a}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: epp, port: {number: 9002}}
---
"""
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: side, image: 'busybox:1'}, {name: c, image: 'vllm/vllm-openai:v1', args: [--model, M]}]}
---
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  hostnames: [llm.example]
  rules:
  - matches: [{headers: [{name: X-Gateway-Model-Name, value: M}, {name: tier, value: gold}]}]
    backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: p}]
---
"""
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: 7000}]}
---
"""
GATEWAY = """apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: g}
spec:
  gatewayClassName: any
  listeners:
  - {name: a, port: 80, protocol: HTTP}
  - {name: b, port: 443, protocol: HTTP}
  - {name: c, port: 9002, protocol: HTTP}
"""
AI = """apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIServiceBackend
metadata: {name: b, labels: {app: mine}}
spec: {schema: {name: OpenAI}, backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: far}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: far}
spec: {endpoints: [{fqdn: {hostname: far.example, port: 80}}]}
---
apiVersion: aigateway.envoyproxy.io/v1alpha1
kind: AIGatewayRoute
metadata: {name: r}
spec:
  parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: g}]
  rules: [{matches: [{headers: [{name: x-ai-eg-model, value: far-model}]}], backendRefs: [{name: b}]}]
"""


def simulated(text: str, *, reachable: bool = False) -> Simulation:
    manifests = manifests_in(text)
    cluster = Cluster(manifests, workloads_in(text), dict.fromkeys(manifests.backends, reachable))
    return simulate(cluster, Addresses(lambda _host, _port: True), Path("/run"))


def served(text: str) -> Manifests:
    """The manifests with what is laid over them."""
    found = simulated(text)
    trees = [
        *overlay.documents_of(found.servers),
        *overlay.pickers(manifests_in(text), "127.0.0.1", 9002),
        *overlay.backends(found.backends, documents_in(text)),
    ]
    return manifests_in(text, yaml.safe_dump_all(trees))


def test_a_workload_that_a_pool_selects_runs_as_that_many_simulators() -> None:
    found = simulated(POOL + DEPLOYMENT)

    assert [(server.pod.name, server.address, server.ports) for server in found.servers] == [
        ("d-0", "127.0.1.1", (8000,)), ("d-1", "127.0.1.2", (8000,)), ("d-2", "127.0.1.3", (8000,)),
    ]  # fmt: skip
    assert {server.models for server in found.servers} == {("M",)}
    assert found.lines == ("Deployment default/d: 3 simulators of M on 127.0.1.1 to 127.0.1.3:8000",)


def test_the_overlay_gives_the_pool_its_endpoints_marked_and_its_picker_an_address() -> None:
    manifests = served(POOL + DEPLOYMENT)
    pool = manifests.pools[ObjectName("default", "p")]

    endpoints = pool_endpoints(pool, manifests, {})

    assert [(str(each), each.name) for each in endpoints] == [
        (f"127.0.1.{number + 1}:8000", f"d-{number}") for number in range(3)
    ]
    assert {each.labels["pointsman.dev/simulated"] for each in endpoints} == {"true"}
    assert [str(each) for each in service_endpoints(manifests, "default", "epp", 9002, {})] == ["127.0.0.1:9002"]


def test_a_pool_whose_endpoints_are_known_is_served_by_them() -> None:
    piece = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s, labels: {app: a}}\n"
    piece += "addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\n"

    assert simulated(POOL + DEPLOYMENT + piece).servers == ()


def test_a_pool_that_nothing_runs_gets_a_simulator_of_what_routes_ask_for() -> None:
    (server,) = simulated(POOL + ROUTE).servers

    assert (server.models, server.ports) == (("M",), (8000,))


def test_a_workload_that_the_table_does_not_know_is_named_with_the_remedy() -> None:
    found = simulated(POOL + DEPLOYMENT.replace("vllm/vllm-openai:v1", "nginx:1"))

    (problem,) = found.problems
    assert problem.startswith("a.yaml:9: Deployment default/d runs busybox:1, nginx:1, which is neither")
    assert "add an EndpointSlice" in problem
    assert found.servers == ()


def test_more_servers_than_a_host_has_room_for_are_refused() -> None:
    (problem,) = simulated(POOL + DEPLOYMENT.replace("replicas: 3", f"replicas: {MAX_SERVERS + 1}")).problems

    assert problem == f"{MAX_SERVERS + 1} servers would run here, {MAX_SERVERS} at most can: lower `replicas`"


def test_a_port_on_which_a_cluster_would_not_answer_is_noted() -> None:
    (note,) = simulated(POOL + DEPLOYMENT.replace("[--model, M]", "[--model, M, --port, '9000']")).notes

    assert note.startswith("Deployment default/d listens on port 9000, and InferencePool default/p asks at 8000")


def test_a_workload_behind_a_service_of_a_route_runs_and_an_ai_service_backend_finds_it() -> None:
    text = AI.replace("{group: gateway.envoyproxy.io, kind: Backend, name: far}", "{kind: Service, name: s, port: 80}")

    found = simulated(DEPLOYMENT + SERVICE + text)

    assert [server.ports for server in found.servers] == [(7000,)] * 3
    assert found.backends == {}


def test_an_ai_service_backend_that_leads_nowhere_is_simulated_under_the_models_that_are_asked_of_it() -> None:
    manifests = served(AI)
    backend = manifests.ai_backends[ObjectName("default", "b")]

    endpoints = service_endpoints(manifests, "default", "b.aiservicebackend", 80, {})

    assert backend.meta.labels == {"app": "mine", "pointsman.dev/simulated": "true"}
    assert [str(each) for each in endpoints] == ["127.0.1.1:8000"]
    assert [server.models for server in simulated(AI).backends.values()] == [("far-model",)]
    assert simulated(AI, reachable=True).backends == {}


def test_addresses_that_another_run_has_are_passed_over() -> None:
    taken = Addresses(lambda host, _port: not host.startswith("127.0.1."))

    assert taken.take(2, [8000]) == ("127.0.2.1", "127.0.2.2")
    assert taken.take(1, [8000]) == ("127.0.3.1",)
    with pytest.raises(NoAddressError, match="at port 8000"):
        Addresses(lambda *_: False).take(1, [8000])


def test_the_arguments_of_this_host_come_last_so_that_they_win() -> None:
    (first, *_) = simulated(
        POOL + DEPLOYMENT.replace("[--model, M]", "[--model, M, --host, '::', --port, '8000']")
    ).servers

    process = process_of(first, 8000, 0, Path("/bin"))

    assert process.arguments[-7:] == ("--host", "127.0.1.1", "--port", "8000", "--seed", "0", "--enable-admin")
    assert process.environment["POD_NAME"] == "d-0"


def test_listeners_are_served_on_ports_that_nobody_needs_to_be_root_for() -> None:
    assert bound(manifests_in(GATEWAY), Ports(), 0) == ((80, 8080), (443, 8443), (9002, 9007))


def test_the_first_request_is_one_that_the_first_route_serves() -> None:
    assert first_request(manifests_in(ROUTE), ("other",)) == FirstRequest(
        "/v1/chat/completions", {"host": "llm.example", "tier": "gold"}, "M"
    )
    by_path = ROUTE.replace("{headers:", "{path: {type: PathPrefix, value: /get}, headers:")
    assert first_request(manifests_in(by_path), ("M",)) == FirstRequest(
        "/get", {"host": "llm.example", "tier": "gold"}, None
    )


def test_an_echo_server_says_what_it_was_asked_and_who_it_is() -> None:
    headers = {"Host": ["a.example"], "Accept": ["x", "y"]}

    found = json.loads(answer_of("/get?q=1", "GET", "HTTP/1.1", headers, {"POD_NAME": "p", "NAMESPACE": "n"}))

    assert found == {
        "path": "/get?q=1", "host": "a.example", "method": "GET", "proto": "HTTP/1.1",
        "headers": {"Accept": ["x", "y"]}, "namespace": "n", "ingress": "", "service": "", "pod": "p",
    }  # fmt: skip
