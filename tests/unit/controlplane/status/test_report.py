"""How a status is shown: as JSON like the objects' own, and in lines for people."""

from typing import Any, cast

from controlplane.status.conditions import (
    GatewayStatus,
    ListenerStatus,
    ParentStatus,
    PoolStatus,
    RouteStatus,
    Status,
    met,
    unmet,
)
from controlplane.status.report import CONTROLLER_NAME, complaints, summary, tree
from gateway.kube.objects import ObjectName

G, R, P = (ObjectName("default", name) for name in "grp")
GOOD, BAD = met("Accepted", "Accepted"), unmet("ResolvedRefs", "BackendNotFound", "no InferencePool default/x")
STATUS = Status(
    gateways=(GatewayStatus(G, (GOOD,), (ListenerStatus("http", 1, (GOOD,)),)),),
    routes=(RouteStatus(R, (ParentStatus(G, "http", (GOOD, BAD)), ParentStatus(G, "", (GOOD, BAD)))),),
    pools=(PoolStatus(P, 2, "http", "--picker http", "buffered", "plaintext", (ParentStatus(G, "", (GOOD,)),)),),
)


def test_what_is_not_met_is_a_line_once() -> None:
    expected = "HTTPRoute default/r: ResolvedRefs is false: BackendNotFound: no InferencePool default/x"

    assert complaints(STATUS) == (expected,)


def test_a_summary_counts_objects_and_endpoints() -> None:
    assert summary(STATUS) == "gateways: 1, routes: 1, pools: 1; pools and their endpoints: default/p (2)"
    assert summary(Status()) == "gateways: 0, routes: 0, pools: 0"


def test_the_tree_is_shaped_like_the_objects_own_status() -> None:
    found = tree(STATUS)

    (route,) = cast("list[Any]", found["routes"])
    first, second = route["parents"]
    assert first["controllerName"] == CONTROLLER_NAME
    assert first["parentRef"]["sectionName"] == "http"
    assert "sectionName" not in second["parentRef"]
    assert first["conditions"][1] == {
        "type": "ResolvedRefs",
        "status": "False",
        "reason": "BackendNotFound",
        "message": "no InferencePool default/x",
    }
