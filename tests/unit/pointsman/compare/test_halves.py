"""A route in halves: each pool and its twin, which Envoy takes in turn."""

import pytest
import yaml

from gateway.kube.objects import ObjectName
from pointsman.compare.halves import Tree, UnsplittableError, pools_of, route_named, split
from tests.unit.pointsman.cluster.reading import documents_in, manifests_in

POOL = """apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: p, labels: {team: a}, annotations: {pointsman.dev/api-key-secret: key}, resourceVersion: "7"}
spec:
  selector: {matchLabels: {app: a}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: epp, port: {number: 9002}}
---
"""
ROUTE = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: g}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /v1}}]
    backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: p, weight: 3}
    - {name: other, port: 80}
  - matches: [{path: {type: PathPrefix, value: /away}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: elsewhere}}]
---
"""
REWRITE = """apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: w}
spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: b}]}]}
---
"""


def split_of(text: str, name: str = "r") -> tuple[Tree, ...]:
    found = documents_in(text)
    return split(route_named(name, found), found, manifests_in(text))


def test_a_pool_shares_its_weight_with_its_twin_and_others_keep_theirs() -> None:
    route, _ = split_of(POOL + ROUTE)

    first, second = route["spec"]["rules"]
    assert [(each["name"], each["weight"]) for each in first["backendRefs"]] == [
        ("p", 3), ("p-round-robin", 3), ("other", 2),
    ]  # fmt: skip
    assert second == next(yaml.safe_load_all(ROUTE))["spec"]["rules"][1]


def test_a_twin_has_the_pools_servers_and_key_and_asks_no_picker() -> None:
    _, twin = split_of(POOL + ROUTE)

    assert twin["metadata"] == {
        "name": "p-round-robin", "labels": {"team": "a"},
        "annotations": {"pointsman.dev/api-key-secret": "key", "pointsman.dev/picker": "round-robin"},
    }  # fmt: skip
    assert twin["spec"]["selector"] == {"matchLabels": {"app": "a"}}


def test_what_is_laid_over_the_manifests_is_valid_and_replaces_the_route_alone() -> None:
    laid = yaml.safe_dump_all(split_of(POOL + ROUTE))

    found = manifests_in(POOL + ROUTE, laid)

    assert found.routes.keys() == {ObjectName("default", "r")}
    assert found.pools.keys() == {ObjectName("default", "p"), ObjectName("default", "p-round-robin")}


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        (POOL + ROUTE, "nobody", "--route nobody: there is no such HTTPRoute; known: default/r"),
        (ROUTE, "r", "InferencePool default/p is not among the manifests as such"),
        (POOL + ROUTE + REWRITE, "r", "InferenceModelRewrite default/w changes models' names in the picker"),
        (POOL + POOL.replace("name: p,", "name: p-round-robin,") + ROUTE, "r", "default/p-round-robin exists already"),
        (POOL + ROUTE.replace("weight: 3", "weight: 600000"), "r", "weight 600000 of p cannot be doubled"),
        (POOL + ROUTE.replace("InferencePool, name: p, weight: 3", "Service, name: s, port: 1").replace(
            "inference.networking.k8s.io", '""'), "r", "HTTPRoute default/r leads to no InferencePool"),
        (POOL + ROUTE + ROUTE.replace("name: r", "name: r, namespace: b"), "r", "is the name of 2 HTTPRoutes"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_says_why(text: str, name: str, why: str) -> None:
    with pytest.raises(UnsplittableError) as refused:
        split_of(text, name)

    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_latest_of_two_routes_of_a_name_counts() -> None:
    found = documents_in(POOL + ROUTE + ROUTE.replace("name: p,", "name: q,"))

    assert pools_of(route_named("default/r", found)) == (ObjectName("default", "q"),)
