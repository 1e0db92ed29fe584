"""A policy that restricts access and is not supported keeps every request from what it targets."""

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.options import Options
from controlplane.render import Rendered, render
from controlplane.status.report import complaints
from controlplane.xds.files import contents
from gateway.kube.sources.files import load
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, routes_file, service, to_pool

MODEL = "[{name: x-gateway-model-name, value: m}]"
LABELLED = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, labels: {a: b}}\n"
    "spec: {gatewayClassName: c, listeners: [{name: http, port: 80, protocol: HTTP}]}\n"
)


def policy(spec: str, kind: str = "SecurityPolicy", namespace: str = "default") -> str:
    group = {"SecurityPolicy": "gateway.envoyproxy.io/v1alpha1"}.get(kind, "security.istio.io/v1")
    rules = {"SecurityPolicy": "extAuth: {}", "PeerAuthentication": "mtls: {mode: STRICT}"}.get(kind, "rules: []")
    return (
        f"apiVersion: {group}\nkind: {kind}\nmetadata: {{name: x, namespace: {namespace}}}\nspec: {{{rules}{spec}}}\n"
    )


def target(kind: str, name: str, more: str = "") -> str:
    return f", targetRefs: [{{group: g, kind: {kind}, name: {name}{more}}}]"


def rendered(folder: Path, *texts: str, handled: frozenset[str] = frozenset(), first: str = LABELLED) -> Rendered:
    named = route(
        to_pool("/a").replace("{matches", "{name: one, matches"), to_pool("/b", pool="q"), to_pool("/c", headers=MODEL)
    )
    found = manifests(folder, first, named, pool(), pool("q"), service(), *texts)
    return render(found, {}, Options(handled_elsewhere=handled))


def with_problems(folder: Path, *texts: str) -> Rendered:
    """What is rendered at the start, when nothing was good before."""
    (folder / "all.yaml").write_text("\n---\n".join(texts))
    loaded = load([folder])
    assert loaded.problems
    return render(loaded.manifests, {}, Options())


def refused(found: Rendered) -> set[str]:
    """The paths whose requests are answered with 500."""
    files = contents(found.snapshot)
    (config,) = json.loads(files[routes_file(files)])["resources"]
    routes: list[Any] = config["virtual_hosts"][0]["routes"]
    named = [item for item in routes if item["name"] in ("restricted", "invalid-backend")]
    return {item["match"]["path_separated_prefix"] for item in named}


SHARED = "{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}"
ALL = {"/a", "/b", "/c"}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        pytest.param(policy(target("Gateway", "g")), ALL, id="gateway"),
        pytest.param(policy(target("Gateway", "g", ", sectionName: http")), ALL, id="listener"),
        pytest.param(policy(target("Gateway", "g", ", sectionName: other")), set(), id="other-listener"),
        pytest.param(policy(target("GatewayClass", "c")), ALL, id="class"),
        pytest.param(policy(target("HTTPRoute", "r")), ALL, id="route"),
        pytest.param(policy(target("HTTPRoute", "r", ", sectionName: one")), {"/a"}, id="rule"),
        pytest.param(policy(target("InferencePool", "q")), {"/b"}, id="pool"),
        pytest.param(policy(target("InferencePool", "q", ", sectionName: http")), {"/b"}, id="port-of-a-pool"),
        pytest.param(policy(", targetSelectors: [{kind: Gateway, matchLabels: {a: b}}]"), ALL, id="selected-gateway"),
        pytest.param(policy("", "AuthorizationPolicy"), ALL, id="namespace"),
        pytest.param(policy("", "AuthorizationPolicy", "other"), set(), id="other-namespace"),
        pytest.param(policy("", "AuthorizationPolicy", "istio-system"), ALL, id="mesh"),
        pytest.param(
            policy(", selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: g}}", "AuthorizationPolicy"),
            ALL,
            id="gateway-pods",
        ),
        pytest.param(policy(", selector: {matchLabels: {app: q}}", "AuthorizationPolicy"), {"/b"}, id="pool-pods"),
        pytest.param(policy(", selector: {matchLabels: {app: q}}", "PeerAuthentication"), {"/b"}, id="mesh-mtls"),
    ],
)
def test_requests_for_what_is_targeted_are_answered_with_500(tmp_path: Path, text: str, paths: set[str]) -> None:
    assert refused(rendered(tmp_path, text)) == paths


@pytest.mark.parametrize("kind", ["SecurityPolicy", "AuthorizationPolicy"])
@pytest.mark.parametrize(
    "unreadable",
    [
        "targetRefs: [{kind: Gateway, name: other}, g]",
        "targetRefs: [{kind: Gateway, name: other}, {kind: Gateway, name: [g]}]",
        "targetRefs: [{kind: Gateway, name: other}, {kind: Gateway, name: G}]",
        "targetRefs: [{kind: Gateway, name: other}, {name: g}]",
        "targetRefs: {kind: Gateway, name: g}, targetRef: {kind: Gateway, name: other}",
        "targetRefs: [{kind: Gateway, name: other}], targetSelectors: [{matchLabels: {a: b}}]",
        "targetSelectors: [{kind: Gateway, matchLabels: {a: [b]}}]",
    ],
)
def test_a_policy_with_a_target_that_cannot_be_read_closes_its_namespace(
    tmp_path: Path, kind: str, unreadable: str
) -> None:
    both = route(to_pool("/a"), to_pool("/b", pool="q"))
    text = policy(f", {unreadable}", kind)

    assert refused(with_problems(tmp_path, LABELLED, both, pool(), pool("q"), service(), text)) == {"/a", "/b"}


def test_a_policy_with_a_selector_that_cannot_be_read_closes_its_namespace(tmp_path: Path) -> None:
    unreadable = policy(", selector: {matchLabels: {app: [q]}}", "AuthorizationPolicy")

    assert refused(with_problems(tmp_path, LABELLED, route(to_pool("/a")), pool(), service(), unreadable)) == {"/a"}


def test_a_route_of_a_gateway_elsewhere_is_closed_where_a_target_cannot_be_read(tmp_path: Path) -> None:
    foreign = gateway(SHARED, namespace="front")
    redirect = (
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"
        "spec: {parentRefs: [{name: g, namespace: front}], rules: [{matches: [{path: {value: /a}}], "
        "filters: [{type: RequestRedirect, requestRedirect: {hostname: h}}]}]}\n"
    )
    unreadable = policy(", targetRefs: [{kind: HTTPRoute, name: [r]}]")

    assert refused(with_problems(tmp_path, foreign, redirect, unreadable)) == {"/a"}


def test_the_statuses_of_policy_and_route_say_why(tmp_path: Path) -> None:
    found = rendered(tmp_path, policy(target("HTTPRoute", "r", ", sectionName: one")))

    of_route, of_policy = [line for line in complaints(found.status) if "no endpoint" not in line]
    assert of_route.startswith("HTTPRoute default/r: PartiallyInvalid is true: UnsupportedValue: rule 0 answers 500: ")
    assert of_route.endswith("SecurityPolicy default/x restricts access: extAuth of SecurityPolicy is not supported")
    assert of_policy.startswith(
        "SecurityPolicy default/x: Accepted is false: Invalid: extAuth of SecurityPolicy is not supported; "
    )
    assert of_policy.endswith("requests for HTTPRoute default/r section one are answered with 500")


def test_a_route_behind_a_restricted_gateway_is_not_accepted(tmp_path: Path) -> None:
    found = rendered(tmp_path, policy(target("Gateway", "g")))

    (accepted, _) = found.status.routes[0].parents[0].conditions
    assert (accepted.is_true, accepted.reason) == (False, "UnsupportedValue")


def test_a_restricted_host_lists_no_model(tmp_path: Path) -> None:
    listed = [contents(rendered(tmp_path, *texts).snapshot) for texts in ((), (policy(target("Gateway", "g")),))]

    assert [b'"name": "models"' in files[routes_file(files)] for files in listed] == [True, False]


def test_a_kind_that_is_handled_elsewhere_restricts_nothing(tmp_path: Path) -> None:
    found = rendered(tmp_path, policy(target("Gateway", "g")), handled=frozenset({"SecurityPolicy"}))

    assert refused(found) == set()
    assert found.status.policies[0].accepted.is_true


def test_a_policy_for_something_that_is_not_here_says_so(tmp_path: Path) -> None:
    found = rendered(tmp_path, policy(", targetSelectors: [{kind: Gateway, matchLabels: {a: other}}]"))

    assert refused(found) == set()
    assert found.status.policies[0].accepted.reason == "TargetNotFound"


def test_a_rule_that_two_gateways_of_a_port_serve_is_restricted_by_either(tmp_path: Path) -> None:
    both = route(to_pool("/a"), parents="{name: h}, {name: g}")
    found = manifests(tmp_path, gateway(), gateway(name="h"), both, pool(), service(), policy(target("Gateway", "h")))

    assert refused(render(found, {}, Options())) == {"/a"}


@pytest.mark.parametrize(
    ("target_kind", "target_name", "values"),
    [
        ("AIServiceBackend", "my-ai-service-backend", ["no", "yes"]),
        ("AIGatewayRoute", "inference-extension-example", ["no", "yes"]),
        ("InferencePool", "inference-extension-example-pool", ["yes"]),
    ],
)
def test_backends_and_routes_of_envoy_ai_gateway_are_kept_too(
    root: Path, tmp_path: Path, target_kind: str, target_name: str, values: list[str]
) -> None:
    written = (root / "tests/data/manifests/ai-gateway/all.yaml").read_text()
    found = manifests(tmp_path, written, policy(target(target_kind, target_name)))

    files = contents(render(found, {}, Options()).snapshot)
    (config,) = json.loads(files[routes_file(files)])["resources"]
    kept = [item for item in config["virtual_hosts"][0]["routes"] if item["name"] in ("restricted", "invalid-backend")]
    assert sorted(item["match"]["headers"][0]["string_match"]["exact"] for item in kept) == values
