"""Attachment, precedence and references, as the Gateway API wants them."""

from pathlib import Path

import pytest

from controlplane.options import Options
from controlplane.plan.entries import ServicePortRef
from controlplane.plan.planning import Plan, plan
from controlplane.status.conditions import Condition
from gateway.kube.objects import InferencePool, ObjectName
from tests.unit.controlplane.manifest_texts import POOL_KIND, gateway, manifests, pool, route, service, to_pool

WIDE = "{name: all, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}"


def planned(folder: Path, *texts: str) -> Plan:
    return plan(manifests(folder, *texts), {}, Options())


def served(found: Plan, port: int = 80) -> dict[str, list[str]]:
    """Host → the entries in order."""
    (one,) = (item for item in found.ports if item.number == port)
    return {host.hostname: [entry.name for entry in host.entries] for host in one.hosts}


def accepted(found: Plan) -> Condition:
    return found.status.routes[0].parents[0].conditions[0]


def resolved(found: Plan) -> Condition:
    return found.status.routes[0].parents[0].conditions[1]


def test_a_route_is_attached_to_the_listener_it_names(tmp_path: Path) -> None:
    listeners = ("{name: a, port: 80, protocol: HTTP}", "{name: b, port: 81, protocol: HTTP}")
    found = planned(tmp_path, gateway(*listeners), route(parents="{name: g, sectionName: b}"))

    assert (served(found), served(found, 81)) == ({"": []}, {"": ["default/r/0/0"]})
    assert [listener.attached_routes for listener in found.status.gateways[0].listeners] == [0, 1]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        pytest.param((route(),), "NoMatchingParent", id="no-gateway"),
        pytest.param((gateway(), route(parents="{name: g, sectionName: x}")), "NoMatchingParent", id="no-listener"),
        pytest.param((gateway(), route(parents="{name: g, port: 81}")), "NoMatchingParent", id="no-port"),
        pytest.param(
            (gateway(), route(parents="{name: g, namespace: default}", namespace="other")),
            "NotAllowedByListeners",
            id="namespace",
        ),
        pytest.param(
            (gateway("{name: t, port: 443, protocol: HTTPS}"), route()), "NotAllowedByListeners", id="protocol"
        ),
        pytest.param(
            (gateway("{name: a, port: 80, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}"), route()),
            "NotAllowedByListeners",
            id="kind",
        ),
        pytest.param(
            (gateway("{name: a, port: 80, protocol: HTTP, hostname: a.example}"), route(hosts="b.example")),
            "NoMatchingListenerHostname",
            id="hostname",
        ),
    ],
)
def test_a_route_that_cannot_be_attached_says_why(tmp_path: Path, texts: tuple[str, ...], reason: str) -> None:
    found = planned(tmp_path, *texts)

    assert (accepted(found).is_true, accepted(found).reason) == (False, reason)
    assert all(not entries for port in found.ports for host in port.hosts for entries in [host.entries])


def test_a_selector_of_namespaces_reads_their_labels(tmp_path: Path) -> None:
    listener = (
        "{name: a, port: 80, protocol: HTTP, allowedRoutes:"
        " {namespaces: {from: Selector, selector: {matchLabels: {tier: models}}}}}"
    )
    labelled = "apiVersion: v1\nkind: Namespace\nmetadata: {name: apps, labels: {tier: models}}\n"
    bound = route(namespace="apps", parents="{name: g, namespace: default}")

    assert accepted(planned(tmp_path, gateway(listener), labelled, bound)).is_true
    assert not accepted(planned(tmp_path, gateway(listener), bound)).is_true


def test_a_host_belongs_to_its_most_specific_listener(tmp_path: Path) -> None:
    listeners = (WIDE, "{name: one, port: 80, protocol: HTTP, hostname: '*.example.com'}")
    found = planned(
        tmp_path,
        gateway(*listeners),
        route(name="all", parents="{name: g, sectionName: all}"),
        route(name="one", parents="{name: g, sectionName: one}", hosts="a.example.com"),
    )

    assert served(found) == {"a.example.com": ["default/one/0/0"], "*.example.com": [], "": ["default/all/0/0"]}


def test_a_host_takes_the_rules_of_wider_routes_after_its_own(tmp_path: Path) -> None:
    found = planned(
        tmp_path,
        gateway(),
        route(to_pool("/very/long/path"), name="a-wide"),
        route(to_pool("/"), name="b-wild", hosts="'*.example.com'"),
        route(to_pool("/"), name="c-exact", hosts="a.example.com"),
        pool(),
    )

    assert served(found) == {
        "a.example.com": ["default/c-exact/0/0", "default/b-wild/0/0", "default/a-wide/0/0"],
        "*.example.com": ["default/b-wild/0/0", "default/a-wide/0/0"],
        "": ["default/a-wide/0/0"],
    }


def test_rules_are_tried_in_the_order_of_the_gateway_api(tmp_path: Path) -> None:
    header, query = "[{name: a, value: b}]", "[{name: q, value: b}]"
    young = route(
        to_pool("/a"),
        to_pool("/a/b"),
        to_pool("/a/b", method="GET"),
        to_pool("/a/b", headers=header),
        to_pool("/a/b", queryParams=query),
        "{matches: [{path: {type: RegularExpression, value: '/a.*'}}]}",
        "{matches: [{path: {type: Exact, value: /a}}]}",
        to_pool("/a/b", headers=header, queryParams=query),
        name="a-young",
        created="2026-02-01T00:00:00Z",
    )
    old = route(to_pool("/a/b"), name="z-old", created="2026-01-01T00:00:00Z")

    order = served(planned(tmp_path, gateway(), young, old, pool()))[""]

    assert order == [
        "default/a-young/6/0",  # exact
        "default/a-young/5/0",  # regular expression
        "default/a-young/2/0",  # longest prefix with a method
        "default/a-young/7/0",  # then headers, and query parameters beside them
        "default/a-young/3/0",
        "default/a-young/4/0",
        "default/z-old/0/0",  # the same match: the older route
        "default/a-young/1/0",
        "default/a-young/0/0",
    ]


@pytest.mark.parametrize(
    ("ref", "extra", "reason"),
    [
        pytest.param(POOL_KIND % "p", (), "BackendNotFound", id="no-pool"),
        pytest.param("{name: s, port: 80}", (), "BackendNotFound", id="no-service"),
        pytest.param("{kind: Bucket, name: s}", (), "InvalidKind", id="kind"),
        pytest.param(
            "{name: s, namespace: other, port: 80}", (service("s", "other"),), "RefNotPermitted", id="namespace"
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_and_keeps_the_route(
    tmp_path: Path, ref: str, extra: tuple[str, ...], reason: str
) -> None:
    found = planned(tmp_path, gateway(), route(f"{{backendRefs: [{ref}]}}"), *extra)

    assert accepted(found).is_true
    assert (resolved(found).is_true, resolved(found).reason) == (False, reason)
    assert found.ports[0].hosts[0].entries[0].backends[0].target is None


def test_a_grant_permits_a_reference_to_another_namespace(tmp_path: Path) -> None:
    grant = (
        "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: other}\n"
        "spec:\n  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]\n"
        "  to: [{group: '', kind: Service, name: s}]\n"
    )
    ref = "{backendRefs: [{name: s, namespace: other, port: 80}]}"
    found = planned(tmp_path, gateway(), route(ref), service("s", "other"), grant)

    assert resolved(found).is_true
    assert found.ports[0].hosts[0].entries[0].backends[0].target == ServicePortRef(ObjectName("other", "s"), 80)


def test_a_pools_parents_are_the_gateways_that_reach_it(tmp_path: Path) -> None:
    both = route(to_pool(), parents="{name: g}, {name: h}")
    found = planned(tmp_path, gateway(), gateway(name="h"), both, pool(), pool("unused"))

    parents = {status.id: [parent.parent for parent in status.parents] for status in found.status.pools}
    assert parents == {("default", "p"): [("default", "g"), ("default", "h")], ("default", "unused"): []}
    assert len(found.ports) == 1, "two Gateways on one port share it"
    assert isinstance(found.ports[0].hosts[0].entries[0].backends[0].target, InferencePool)


@pytest.mark.parametrize(
    ("body", "broken", "reason"),
    [
        ("type: ExtensionRef, extensionRef: {group: a.b, kind: Magic, name: m}", "ResolvedRefs", "InvalidKind"),
        ("type: ExternalAuth, externalAuth: {protocol: GRPC}", "PartiallyInvalid", "UnsupportedValue"),
    ],
)
def test_a_filter_that_is_not_served_is_named_and_costs_its_rule(
    tmp_path: Path, body: str, broken: str, reason: str
) -> None:
    ref = POOL_KIND % "p"
    rules = (f"{{filters: [{{{body}}}], backendRefs: [{ref}]}}", f"{{backendRefs: [{ref}]}}")
    found = planned(tmp_path, gateway(), route(*rules), pool())

    conditions = {item.type: item for item in found.status.routes[0].parents[0].conditions}
    assert accepted(found).is_true
    assert [name for name, item in conditions.items() if not item.is_good] == [broken]
    assert conditions[broken].reason == reason
    assert conditions[broken].message.startswith("rule 0 answers 500: ")
    assert [entry.is_refused for entry in found.ports[0].hosts[0].entries] == [True, False]


def test_a_route_whose_every_rule_has_such_a_filter_is_not_accepted(tmp_path: Path) -> None:
    found = planned(tmp_path, gateway(), route("{filters: [{type: ExternalAuth, externalAuth: {}}]}"))

    assert (accepted(found).is_true, accepted(found).reason) == (False, "UnsupportedValue")


def test_a_backend_without_group_and_kind_is_a_service_and_else_the_pool_of_its_name(tmp_path: Path) -> None:
    rules = route("{backendRefs: [{name: p}]}")
    bare = planned(tmp_path, gateway(), rules, pool())
    both = planned(tmp_path, gateway(), route("{backendRefs: [{name: p, port: 80}]}"), pool(), service("p"))
    portless = planned(tmp_path, gateway(), rules, pool(), service("p"))

    assert resolved(bare).is_true
    assert isinstance(bare.ports[0].hosts[0].entries[0].backends[0].target, InferencePool)
    taken = "HTTPRoute default/r: backendRef p of rule 0 names no kind"
    assert [warning.startswith(taken) for warning in bare.status.warnings] == [True]
    assert both.ports[0].hosts[0].entries[0].backends[0].target == ServicePortRef(ObjectName("default", "p"), 80)
    assert not any(warning.startswith(taken) for warning in both.status.warnings)
    assert (resolved(portless).reason, resolved(portless).message) == (
        "BackendNotFound",
        "Service default/p needs a port",
    )


def test_a_pool_without_any_endpoint_is_a_warning(tmp_path: Path) -> None:
    assert planned(tmp_path, pool()).status.warnings == ("InferencePool default/p: no endpoint is known",)


def test_a_pool_without_any_endpoint_is_a_condition_at_each_gateway_that_reaches_it(tmp_path: Path) -> None:
    found = planned(tmp_path, gateway(), route(to_pool()), pool(), service())

    (parent,) = found.status.pools[0].parents
    available = parent.conditions[-1]
    assert (available.type, available.is_true, available.reason) == ("Available", False, "NoEndpoints")
    assert available.message == "no endpoint is known"
    assert found.status.warnings == ()


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        ("apps/v1", "Deployment", "{template: {metadata: {labels: {app: p, more: x}}}}"),
        ("apps/v1", "StatefulSet", "{template: {metadata: {labels: {app: p}}}}"),
        (
            "leaderworkerset.x-k8s.io/v1",
            "LeaderWorkerSet",
            "{leaderWorkerTemplate: {workerTemplate: {metadata: {labels: {app: p}}}}}",
        ),
    ],
)
def test_a_pool_whose_pods_nothing_runs_says_what_would_and_what_to_do(
    tmp_path: Path, version: str, kind: str, spec: str
) -> None:
    workload = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: servers}}\nspec: {spec}\n"

    (warning,) = planned(tmp_path, pool(), workload).status.warnings

    assert warning.startswith("InferencePool default/p: no endpoint is known; nothing runs ")
    assert f"nothing runs {kind} default/servers here." in warning
    assert warning.endswith("an EndpointSlice with the labels app: p")


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        ("{group: inference.networking.k8s.io, kind: InferencePool, name: gone}", "BackendNotFound"),
        ("{group: x, kind: Thing, name: gone}", "InvalidKind"),
        ("{group: inference.networking.k8s.io, kind: InferencePool, name: p, namespace: other}", "RefNotPermitted"),
    ],
)
def test_a_copy_that_leads_nowhere_is_said_and_costs_no_request(tmp_path: Path, copy: str, reason: str) -> None:
    filters = f"filters: [{{type: RequestMirror, requestMirror: {{backendRef: {copy}}}}}]"
    found = planned(tmp_path, gateway(), route(f"{{{to_pool()[1:-1]}, {filters}}}"), pool(), service())

    (_, resolved) = found.status.routes[0].parents[0].conditions
    assert (resolved.is_true, resolved.reason) == (False, reason)
    (entry,) = found.ports[0].hosts[0].entries
    assert entry.backends[0].fault is None
