"""What a Gateway is to have in a cluster, for each way of asking for it."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.deployment.authority import Authority, new_authority
from controlplane.deployment.bootstrap import files
from controlplane.deployment.deployer import wanted_objects
from controlplane.deployment.placement import bound_ports, fitting, placement
from controlplane.options import Deployment
from gateway.kube.objects import Manifests, ObjectName
from tests.unit.controlplane.manifest_texts import manifests

NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
DEPLOYMENT = Deployment("example.com/envoy:1", ObjectName("system", "pointsman"), 18000)
NAME = ObjectName("infra", "edge")

CLASS = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: pointsman}
spec: {controllerName: %s%s}
"""
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: infra, uid: u-1%s}
spec:
  gatewayClassName: pointsman
%s
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: c}]}}
  - {name: high, port: 10080, protocol: HTTP}
  - {name: raw, port: 5000, protocol: TCP}
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(new_authority(NOW))


def known(
    folder: Path, *more: str, controller: str = "pointsman.dev/controlplane", of_class: str = "", meta: str = "",
    infrastructure: str = "",
) -> Manifests:  # fmt: skip
    parameters = f", parametersRef: {of_class}" if of_class else ""
    given = f"  infrastructure: {infrastructure}" if infrastructure else ""
    return manifests(folder, CLASS % (controller, parameters), GATEWAY % (meta, given), *more)


def config_map(**data: str) -> str:
    shown = ", ".join(f"{key}: '{value}'" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: p, namespace: infra}}\ndata: {{{shown}}}\n"


def wanted(found: Manifests, authority: Authority) -> dict[str, dict[str, Any]]:
    return {each["kind"]: dict(each) for each in wanted_objects(found, DEPLOYMENT, authority, NOW).objects}


def test_each_object_bears_the_gateways_name_and_goes_with_it(tmp_path: Path, authority: Authority) -> None:
    labels = "{labels: {team: a}, annotations: {example.com/internal: 'true'}}"
    found = wanted(known(tmp_path, infrastructure=labels), authority)

    assert [*found] == ["ServiceAccount", "Secret", "ConfigMap", "Service", "Deployment", "PodDisruptionBudget"]
    for each in found.values():
        metadata = each["metadata"]
        assert (metadata["namespace"], metadata["name"]) == ("infra", "edge-pointsman")
        (owner,) = metadata["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Gateway", "edge", "u-1")
        assert metadata["annotations"] == {"example.com/internal": "true"}
        assert metadata["labels"] == {
            "team": "a",
            "gateway.networking.k8s.io/gateway-name": "edge",
            "gateway.networking.k8s.io/gateway-class-name": "pointsman",
            "app.kubernetes.io/managed-by": "pointsman",
        }
    template = found["Deployment"]["spec"]["template"]["metadata"]
    assert template["labels"]["team"] == "a"
    assert template["annotations"]["example.com/internal"] == "true"


def test_the_service_maps_each_served_port_to_one_that_envoy_may_bind(tmp_path: Path, authority: Authority) -> None:
    found = known(tmp_path)
    spec = wanted(found, authority)["Service"]["spec"]

    assert bound_ports(found.gateways[NAME]) == {80: 10081, 443: 10443, 10080: 10080}
    assert [(each["name"], each["port"], each["targetPort"]) for each in spec["ports"]] == [
        ("http-80", 80, 10081),
        ("https-443", 443, 10443),
        ("http-10080", 10080, 10080),
    ]
    assert spec["selector"] == {"gateway.networking.k8s.io/gateway-name": "edge"}
    assert spec["type"] == "LoadBalancer"


def test_parameters_of_a_gateway_win_over_those_of_its_class(tmp_path: Path, authority: Authority) -> None:
    of_class = "{group: '', kind: ConfigMap, name: c, namespace: system}"
    own = "{parametersRef: {group: '', kind: ConfigMap, name: p}}"
    text = config_map(serviceType="NodePort", replicas="3")
    class_map = text.replace("name: p, namespace: infra", "name: c, namespace: system")
    found = wanted(
        known(tmp_path, class_map, config_map(serviceType="ClusterIP"), of_class=of_class, infrastructure=own),
        authority,
    )

    assert found["Service"]["spec"]["type"] == "ClusterIP"
    assert found["Deployment"]["spec"]["replicas"] == 3


def test_what_something_else_scales_has_no_replicas_of_ours(tmp_path: Path, authority: Authority) -> None:
    own = "{parametersRef: {group: '', kind: ConfigMap, name: p}}"
    found = wanted(known(tmp_path, config_map(replicas="autoscaled"), infrastructure=own), authority)

    assert "replicas" not in found["Deployment"]["spec"]


@pytest.mark.parametrize(
    ("ref", "data", "message"),
    [
        ("{group: example.com, kind: Proxy, name: p}", {}, "expected a ConfigMap or a Service of the core group"),
        ("{group: '', kind: ConfigMap, name: other}", {}, "no ConfigMap infra/other"),
        (
            "{group: '', kind: ConfigMap, name: p}",
            {"serviceType": "External"},
            "serviceType: expected one of ClusterIP",
        ),
        ("{group: '', kind: ConfigMap, name: p}", {"replicas": "-1"}, "replicas: expected 0 to 1000 or autoscaled"),
        ("{group: '', kind: ConfigMap, name: p}", {"replica": "1"}, "unknown key replica"),
    ],
)
def test_parameters_that_cannot_be_followed_are_a_condition_and_change_nothing(
    tmp_path: Path, authority: Authority, ref: str, data: dict[str, str], message: str
) -> None:
    found = known(tmp_path, config_map(**data), infrastructure=f"{{parametersRef: {ref}}}")
    fault = placement(found.gateways[NAME], found, DEPLOYMENT).fault

    assert fault is not None
    assert (fault.type, fault.is_true, fault.reason) == ("Accepted", False, "InvalidParameters")
    assert message in fault.message
    kept = wanted_objects(found, DEPLOYMENT, authority, NOW)
    assert kept.objects == ()
    assert "u-1" not in kept.owners, "what it had stays"


def test_behind_a_service_that_exists_nothing_is_deployed(tmp_path: Path, authority: Authority) -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: own, namespace: infra}\n"
        "spec: {clusterIPs: [10.96.1.2], ports: [{port: 80, targetPort: 8080}, {port: 443, targetPort: tls}]}\n"
    )
    found = known(tmp_path, service, infrastructure="{parametersRef: {group: '', kind: Service, name: own}}")
    place = placement(found.gateways[NAME], found, DEPLOYMENT)
    kept = wanted_objects(found, DEPLOYMENT, authority, NOW)

    assert (place.addresses, dict(place.port_map), place.fault) == (("10.96.1.2",), {80: 8080}, None)
    assert (kept.objects, kept.owners) == ((), frozenset({"u-1"})), "what was deployed before goes"


@pytest.mark.parametrize(
    ("service", "addresses", "message"),
    [
        (None, (), "is not there yet"),
        ("type: LoadBalancer, clusterIP: 10.96.0.9", (), "of type LoadBalancer has no address yet"),
        ("type: ClusterIP, clusterIP: None", (), "of type ClusterIP has no address yet"),
        ("type: ClusterIP, clusterIPs: [10.96.0.9, 'fd00::9']", ("10.96.0.9",), ""),
    ],
)
def test_a_gateway_is_where_its_service_is(
    tmp_path: Path, service: str | None, addresses: tuple[str, ...], message: str
) -> None:
    head = "apiVersion: v1\nkind: Service\nmetadata: {name: edge-pointsman, namespace: infra}\n"
    texts = [] if service is None else [f"{head}spec: {{{service}}}\n"]
    found = known(tmp_path, *texts)
    place = placement(found.gateways[NAME], found, DEPLOYMENT)

    assert place.addresses == addresses
    assert (place.fault is None) == bool(addresses)
    if place.fault is not None:
        assert (place.fault.type, place.fault.reason) == ("Programmed", "AddressNotAssigned")
        assert message in place.fault.message


def test_a_load_balancer_is_known_by_address_or_name(tmp_path: Path) -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: edge-pointsman, namespace: infra}\n"
        "spec: {type: LoadBalancer, clusterIP: 10.96.0.9}\n"
        "status: {loadBalancer: {ingress: [{ip: 203.0.113.7}, {hostname: lb.example}]}}\n"
    )
    found = known(tmp_path, service)

    assert placement(found.gateways[NAME], found, DEPLOYMENT).addresses == ("203.0.113.7", "lb.example")


def test_of_another_controllers_gateway_everything_goes_and_of_an_unknown_class_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    others = known(tmp_path / "a", controller="other.dev/controller")
    unknown = manifests(tmp_path / "b", GATEWAY % ("", ""))

    kept = wanted_objects(others, DEPLOYMENT, authority, NOW)
    assert (kept.objects, kept.owners) == ((), frozenset({"u-1"}))
    kept = wanted_objects(unknown, DEPLOYMENT, authority, NOW)
    assert (kept.objects, kept.owners) == ((), frozenset())


def test_nothing_is_made_for_a_gateway_that_is_about_to_go(tmp_path: Path, authority: Authority) -> None:
    found = known(tmp_path, meta=", deletionTimestamp: '2026-11-28T00:00:00Z'")
    kept = wanted_objects(found, DEPLOYMENT, authority, NOW)

    assert (kept.objects, kept.owners) == ((), frozenset({"u-1"}))


def test_a_name_that_a_service_cannot_have_is_shortened_and_stays_apart_from_others() -> None:
    long, other, dotted = fitting("g" * 80), fitting("g" * 81), fitting("a.b-pointsman")

    assert fitting("edge-pointsman") == "edge-pointsman"
    assert len(long) == 63
    assert len({long, other, dotted, fitting("a-b-pointsman")}) == 4
    assert "." not in dotted
    assert fitting("1st-pointsman").startswith("g1st")


def test_pods_are_of_the_restricted_standard(tmp_path: Path, authority: Authority) -> None:
    spec = wanted(known(tmp_path), authority)["Deployment"]["spec"]["template"]["spec"]
    (envoy,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["automountServiceAccountToken"] is False
    assert envoy["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert envoy["args"][envoy["args"].index("--service-cluster") + 1] == "infra/edge"
    assert spec["terminationGracePeriodSeconds"] > DEPLOYMENT.drain_seconds


def test_an_envoy_is_not_ready_before_the_control_plane_has_answered() -> None:
    """Without this it would be after 15 s, and its Gateway would count as served."""
    resources = json.loads(files(DEPLOYMENT)["bootstrap.json"])["dynamic_resources"]

    assert {resources[name]["initial_fetch_timeout"] for name in ("cds_config", "lds_config")} == {"0s"}
