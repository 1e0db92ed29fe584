"""What the charts render, read from the files that are kept: names, selectors, arguments, access, and how Pods run.

That the files are what the charts render says `make charts`; a hash of the chart in each notices a change without it.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import bbr.__main__ as bbr_command
import epp.__main__ as epp_command
from bbr.app import Options as RouterOptions
from epp.config import parse_config
from epp.discovery import Scope
from gateway.kube.objects import Manifests
from gateway.kube.sources.cluster.resources import POD, Selection
from gateway.kube.sources.files import load
from tests.charts.cases import Case, cases

ROOT = Path(__file__).parents[3]
CASES = {case.name: case for case in cases(ROOT)}
POOLS = [case for case in CASES.values() if case.chart == "inferencepool"]
ROUTERS = [case for case in CASES.values() if case.chart == "body-based-routing"]
PARTS = POOLS + ROUTERS  # of one container each


def each(listed: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in listed])


def only(case: Case, kind: str) -> dict[str, Any]:
    (found,) = case.of(kind)
    return found


def named(case: Case, kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in case.of(kind) if each["metadata"]["name"] == name]
    return found


def pod(case: Case) -> Any:
    return only(case, "Deployment")["spec"]["template"]["spec"]


def arguments(case: Case) -> list[str]:
    """As the container gets them, where `$(NAMESPACE)` is its namespace."""
    (container,) = pod(case)["containers"]
    return [word.replace("$(NAMESPACE)", "default") for word in container["args"]]


@each([*CASES.values()])
def test_the_file_is_of_the_chart_as_it_is(case: Case) -> None:
    assert case.file.read_text().startswith(case.head()), "the chart was changed: run `make render-charts`"


@each(PARTS)
def test_the_service_takes_every_argument(case: Case) -> None:
    (container,) = pod(case)["containers"]
    parse = {"epp": epp_command.arguments, "bbr": bbr_command.arguments}[container["name"]]

    given = parse(arguments(case))

    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["grpc"] == given.grpc_port
    assert ports["grpc-health"] == given.grpc_health_port
    assert ports["metrics"] == given.metrics_port
    assert pod(case)["terminationGracePeriodSeconds"] > given.drain_timeout


@each(PARTS)
def test_probes_name_ports_and_services_that_there_are(case: Case) -> None:
    (container,) = pod(case)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    probes = {name: container[name]["grpc"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert {probe["port"] for probe in probes.values()} == {ports["grpc-health"]}
    assert probes["livenessProbe"]["service"] == probes["startupProbe"]["service"] == "liveness"
    assert probes["readinessProbe"]["service"] in ("readiness", "inference-extension")


@each([*CASES.values()])
def test_selectors_find_the_pods_and_nothing_else_shares_them(case: Case) -> None:
    for deployment in case.of("Deployment"):
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        chosen = deployment["spec"]["selector"]["matchLabels"]

        assert chosen.items() <= template["metadata"]["labels"].items()
        assert named(case, "Service", name)["spec"]["selector"] == chosen
        assert named(case, "NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == chosen
        assert named(case, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == chosen
        for spread in template["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"]["matchLabels"] == chosen


@each([*CASES.values()])
def test_pods_run_by_the_restricted_standard_with_bounds(case: Case) -> None:
    for deployment in case.of("Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def granted(case: Case) -> set[tuple[str, str]]:
    """Group and resource of everything that may be listed and watched, which is all that may be done."""
    (role,) = case.of("Role", "ClusterRole")
    assert all(rule["verbs"] == ["list", "watch"] for rule in role["rules"])
    return {(group, each) for rule in role["rules"] for group in rule["apiGroups"] for each in rule["resources"]}


def followed(needs: tuple[Selection, ...]) -> set[tuple[str, str]]:
    return {(each.resource.group, each.resource.plural) for each in needs}


@each(POOLS)
def test_the_picker_may_read_what_it_follows_and_nothing_else(case: Case) -> None:
    pool_namespace = only(case, "InferencePool")["metadata"]["namespace"]
    needs = Scope(pool_namespace, case.release).needs(Manifests())

    assert granted(case) == followed(needs) | {(POD.group, POD.plural)}
    assert only(case, "Role")["metadata"]["namespace"] == pool_namespace


@each(ROUTERS)
def test_the_router_may_read_what_it_follows_and_nothing_else(case: Case) -> None:
    environment = {each["name"] for each in pod(case)["containers"][0]["env"]}
    is_of_all = "NAMESPACE" not in environment
    options = RouterOptions(None, 0)  # type: ignore[arg-type]  # it does not listen here

    assert granted(case) == followed(options.needs(Manifests()))
    assert bool(case.of("ClusterRole")) == is_of_all


@each([*CASES.values()])
def test_the_access_is_that_of_the_pods_account(case: Case) -> None:
    accounts = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in case.of("ServiceAccount")}
    roles = {(each["kind"], each["metadata"]["name"]) for each in case.of("Role", "ClusterRole")}
    bindings = case.of("RoleBinding", "ClusterRoleBinding")

    assert {each["spec"]["template"]["spec"]["serviceAccountName"] for each in case.of("Deployment")} == {
        name for _, name in accounts
    }
    assert {(each["roleRef"]["kind"], each["roleRef"]["name"]) for each in bindings} == roles
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert (subject["namespace"], subject["name"]) in accounts


@each(POOLS)
def test_the_names_are_those_of_the_reference(case: Case) -> None:
    picker = f"{case.release}-epp"

    assert only(case, "InferencePool")["metadata"]["name"] == case.release
    for kind in ("Deployment", "Service", "ServiceAccount", "ConfigMap"):
        assert only(case, kind)["metadata"]["name"] == picker
    assert only(case, "Deployment")["spec"]["template"]["metadata"]["labels"]["inferencepool"] == picker


@each(POOLS)
def test_the_pool_and_its_picker_name_each_other(case: Case) -> None:
    given = epp_command.arguments(arguments(case))
    spec = only(case, "InferencePool")["spec"]
    reference = spec.get("endpointPickerRef") or spec["extensionRef"]
    ports = {each["port"] for each in only(case, "Service")["spec"]["ports"]}

    assert (given.pool_namespace, given.pool_name) == ("default", case.release)
    assert reference["name"] == only(case, "Service")["metadata"]["name"]
    assert (reference.get("portNumber") or reference["port"]["number"]) in ports


@each(POOLS)
def test_our_own_reader_takes_every_object(case: Case, tmp_path: Path) -> None:
    shutil.copy(case.file, tmp_path / "rendered.yaml")

    loaded = load((tmp_path,))

    assert loaded.problems == ()
    assert [pool.name for pool in loaded.manifests.pools] == [case.release]


@each(POOLS)
def test_the_picker_takes_its_configuration(case: Case) -> None:
    given = epp_command.arguments(arguments(case))

    config = parse_config(only(case, "ConfigMap")["data"][given.config_file.name], "plugins")

    assert config.warnings == ()


def test_the_article_gets_its_pool_and_its_route() -> None:
    case = CASES["article"]
    pool, route = only(case, "InferencePool")["spec"], only(case, "HTTPRoute")

    assert pool["selector"] == {"matchLabels": {"app": "vllm-qwen3-32b"}}
    assert pool["targetPorts"] == [{"number": 8000}]
    assert route["metadata"]["name"] == "vllm-qwen3-32b"
    assert route["spec"]["parentRefs"][0]["name"] == "inference-gateway"
    assert [each["kind"] for each in route["spec"]["rules"][0]["backendRefs"]] == ["InferencePool"]
    assert only(case, "DestinationRule")["spec"]["trafficPolicy"]["tls"]["insecureSkipVerify"]


def test_kaito_gets_its_port_its_image_and_its_configuration_file() -> None:
    case = CASES["kaito"]
    (container,) = pod(case)["containers"]

    assert only(case, "InferencePool")["spec"]["targetPorts"] == [{"number": 5000}]
    assert container["image"] == "registry.example.com/gateway-api-inference-extension/epp:v1.0.0"
    assert only(case, "InferencePool")["spec"]["endpointPickerRef"]["failureMode"] == "FailOpen"
    assert only(case, "InferencePool")["metadata"]["annotations"] == {"pointsman.dev/picker-body": "buffered"}
    assert "plugins-v2.yaml" in only(case, "ConfigMap")["data"]


def test_istio_asks_the_router_before_it_routes() -> None:
    case = CASES["router-of-istio"]
    spec, rule = only(case, "EnvoyFilter")["spec"], only(case, "DestinationRule")["spec"]
    (patch,) = spec["configPatches"]
    service = only(case, "Service")
    cluster = patch["patch"]["value"]["typed_config"]["grpc_service"]["envoy_grpc"]["cluster_name"]

    assert spec["targetRefs"][0]["name"] == "inference-gateway"
    assert patch["patch"]["operation"] == "INSERT_FIRST"
    assert cluster == f"outbound|9004||{rule['host']}"
    assert rule["host"].split(".")[:2] == [service["metadata"]["name"], service["metadata"]["namespace"]]


@pytest.mark.parametrize("chart", ["inferencepool", "body-based-routing", "pointsman"])
def test_a_kustomize_base_is_the_chart_as_it_renders(chart: str) -> None:
    folder = ROOT / "kustomize" / chart

    assert yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"] == ["base.yaml"]
    assert CASES[f"kustomize-{chart}"].file == folder / "base.yaml"
