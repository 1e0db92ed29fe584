"""The chart of the gateway: its parts find each other, and the control plane's access is what it needs."""

from pathlib import Path
from typing import Any

import pytest

import bbr.__main__ as bbr_command
from controlplane import command_line
from controlplane.options import Delivery
from controlplane.ownership import RESOURCES, needs
from controlplane.status.report import CONTROLLER_NAME
from gateway.kube.objects import Manifests
from gateway.kube.sources.cluster.resources import DEPLOYED, EVENT, GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, POD, POOL
from gateway.kube.sources.opening import Cluster
from tests.charts.cases import Case, cases

ROOT = Path(__file__).parents[3]
CASES = {case.name: case for case in cases(ROOT) if case.chart == "pointsman"}
WRITTEN = (GATEWAY_CLASS, GATEWAY, HTTP_ROUTE, POOL)  # their status
each_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


def containers(case: Case) -> dict[str, dict[str, Any]]:
    """By name, of both Deployments."""
    found = (each["spec"]["template"]["spec"]["containers"] for each in case.of("Deployment"))
    return {each["name"]: each for listed in found for each in listed}


def ports(container: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container["ports"]}


def service_ports(case: Case, name: str) -> dict[int, str]:
    (service,) = [each for each in case.of("Service") if each["metadata"]["name"] == name]
    return {each["port"]: each["targetPort"] for each in service["spec"]["ports"]}


@each_case
def test_the_services_take_every_argument(case: Case) -> None:
    found = containers(case)
    given = command_line.arguments(found["controlplane"]["args"])

    assert isinstance(command_line.objects(given), Cluster)
    assert given.xds == Delivery.GRPC
    assert given.http_port == ports(found["controlplane"])["metrics"]
    if "bbr" in found:
        router = bbr_command.arguments(found["bbr"]["args"])
        assert given.bbr_address == (f"{case.release}-bbr.default.svc", router.grpc_port)
        assert not router.secure_serving, "Envoy asks the router in the clear"
        assert service_ports(case, f"{case.release}-bbr") == {router.grpc_port: "grpc"}
        assert ports(found["bbr"])["grpc"] == router.grpc_port
        assert ports(found["bbr"])["metrics"] == router.metrics_port
    else:
        assert given.bbr_address is None


@each_case
def test_envoys_find_the_control_plane(case: Case) -> None:
    container = containers(case)["controlplane"]
    deployment = command_line.options(command_line.arguments(container["args"])).deployment

    assert deployment is not None
    assert command_line.arguments(container["args"]).leader_election == ("default", case.release)
    assert deployment.control_plane == ("default", case.release)
    assert service_ports(case, case.release) == {deployment.port: "xds"}
    assert ports(container)["xds"] == deployment.port


@each_case
def test_the_control_plane_may_do_what_it_does_and_nothing_else(case: Case) -> None:
    role = next(each for each in case.of("ClusterRole") if not each["metadata"]["name"].endswith("-bbr"))
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    read = [*(each.resource for each in needs(Manifests())), POD]

    assert len(read) == len(RESOURCES) + 1
    assert granted == {
        *((each.group, each.plural, verb) for each in (*read, *DEPLOYED) for verb in ("list", "watch")),
        *((each.group, each.plural, "get") for each in WRITTEN),
        *((each.group, f"{each.plural}/status", "patch") for each in WRITTEN),
        (EVENT.group, EVENT.plural, "create"),
        *((each.group, each.plural, verb) for each in DEPLOYED for verb in ("create", "patch", "delete")),
    }
    (own,) = case.of("Role")
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    assert own["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [f"{case.release}-xds"], "verbs": ["get"]},
        {**leases, "resourceNames": [case.release], "verbs": ["get", "patch"]},
        {**leases, "verbs": ["create"]},
    ]


def test_the_class_and_its_gateway_are_those_of_this_controller() -> None:
    (found,), (gateway,) = CASES["kustomize-pointsman"].of("GatewayClass"), CASES["kustomize-pointsman"].of("Gateway")

    assert found["spec"]["controllerName"] == CONTROLLER_NAME
    assert gateway["spec"]["gatewayClassName"] == found["metadata"]["name"]
    assert gateway["metadata"]["name"] == "inference-gateway", "the route of the chart `inferencepool` names it"


def test_what_is_scaled_by_load_has_no_other_number_of_replicas() -> None:
    case = CASES["gateway-of-everything"]
    targets = {each["spec"]["scaleTargetRef"]["name"] for each in case.of("HorizontalPodAutoscaler")}
    (parameters,), (gateway,) = case.of("ConfigMap"), case.of("Gateway")

    assert targets == {"edge-bbr", "inference-gateway-pointsman"}
    assert gateway["spec"]["infrastructure"]["parametersRef"]["name"] == parameters["metadata"]["name"]
    assert parameters["data"] == {"replicas": "autoscaled"}
    scaled = [each for each in case.of("Deployment") if each["metadata"]["name"] in targets]
    assert [each["spec"].get("replicas") for each in scaled] == [None]


def test_nothing_of_the_class_is_made_where_it_is_not_wanted() -> None:
    case = CASES["gateway-without-router"]

    assert not case.of("GatewayClass", "Gateway")
    assert "bbr" not in containers(case)
