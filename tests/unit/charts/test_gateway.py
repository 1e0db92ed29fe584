"""The chart of the gateway: what stands together in its Pods fits, and its access is what the control plane needs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import bbr.__main__ as bbr_command
from controlplane import command_line
from controlplane.options import Delivery
from controlplane.ownership import RESOURCES, needs
from controlplane.status.report import CONTROLLER_NAME
from gateway.kube.objects import Manifests
from gateway.kube.sources.cluster.resources import GATEWAY, GATEWAY_CLASS, HTTP_ROUTE, POD, POOL
from gateway.kube.sources.opening import Cluster
from tests.charts.cases import Case, cases

ROOT = Path(__file__).parents[3]
CASES = {case.name: case for case in cases(ROOT) if case.chart == "pointsman"}
WRITTEN = (GATEWAY_CLASS, GATEWAY, HTTP_ROUTE, POOL)  # their status
each_case = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


def containers(case: Case) -> dict[str, dict[str, Any]]:
    """By name; those that stand beside Envoy included."""
    (deployment,) = case.of("Deployment")
    spec = deployment["spec"]["template"]["spec"]
    return {each["name"]: each for each in (*spec["initContainers"], *spec["containers"])}


def ports(container: dict[str, Any]) -> dict[str, int]:
    return {each["name"]: each["containerPort"] for each in container["ports"]}


@each_case
def test_the_services_take_every_argument(case: Case) -> None:
    found = containers(case)
    controlplane = found["controlplane"]
    given = command_line.arguments(controlplane["args"])

    assert isinstance(command_line.objects(given), Cluster)
    assert given.xds == Delivery.GRPC
    assert given.http_port == ports(controlplane)["metrics"]
    if "bbr" in found:
        router = bbr_command.arguments(found["bbr"]["args"])
        assert given.bbr_address == ("127.0.0.1", router.grpc_port)
        assert not router.secure_serving, "Envoy asks the router of its Pod in the clear"
        assert router.metrics_port == ports(found["bbr"])["router-metrics"]
    else:
        assert given.bbr_address is None


@each_case
def test_envoy_finds_its_control_plane(case: Case) -> None:
    (files,) = case.of("ConfigMap")
    given = command_line.arguments(containers(case)["controlplane"]["args"])
    clusters = yaml.safe_load(files["data"]["bootstrap.yaml"])["static_resources"]["clusters"]
    (cluster,) = [each for each in clusters if each["name"] == "xds"]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]

    assert endpoint["address"]["socket_address"] == {"address": given.xds_host, "port_value": given.xds_port}
    for name, file in (("bootstrap.yaml", "bootstrap-grpc.yaml"), ("run", "run")):
        assert files["data"][name].strip() == (ROOT / "envoy" / file).read_text().strip()


@each_case
def test_each_port_of_the_service_is_one_that_envoy_takes_for_it(case: Case) -> None:
    (service,) = case.of("Service")
    given = command_line.arguments(containers(case)["controlplane"]["args"])
    taken = ports(containers(case)["envoy"])

    listed = {each["port"]: taken[each["targetPort"]] for each in service["spec"]["ports"]}

    assert dict(given.port_map) == listed


@each_case
def test_the_control_plane_may_do_what_it_does_and_nothing_else(case: Case) -> None:
    (role,) = case.of("ClusterRole")
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
        *((each.group, each.plural, verb) for each in read for verb in ("list", "watch")),
        *((each.group, each.plural, "get") for each in WRITTEN),
        *((each.group, f"{each.plural}/status", "patch") for each in WRITTEN),
    }


def test_the_class_and_its_gateway_are_those_of_this_controller() -> None:
    case = CASES["kustomize-pointsman"]
    (found,), (gateway,), (service,) = case.of("GatewayClass"), case.of("Gateway"), case.of("Service")

    assert found["spec"]["controllerName"] == CONTROLLER_NAME
    assert gateway["spec"]["gatewayClassName"] == found["metadata"]["name"]
    assert gateway["metadata"]["name"] == "inference-gateway", "the route of the chart `inferencepool` names it"
    assert [each["port"] for each in gateway["spec"]["listeners"]] == [
        each["port"] for each in service["spec"]["ports"]
    ]


def test_nothing_of_the_class_is_made_where_it_is_not_wanted() -> None:
    case = CASES["gateway-without-router"]

    assert not case.of("GatewayClass", "Gateway")
    assert "bbr" not in containers(case)
