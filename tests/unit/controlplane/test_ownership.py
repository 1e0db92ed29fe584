"""Of a cluster with several controllers, ours serves the Gateways of its classes alone."""

from pathlib import Path

from controlplane.options import Options
from controlplane.ownership import class_statuses, needs, owned
from controlplane.render import render
from controlplane.status.report import statuses
from gateway.kube.objects import Manifests, ObjectKey, ObjectName
from gateway.kube.sources.cluster.resources import GATEWAY_CLASS, POD, Selection
from tests.unit.controlplane.manifest_texts import manifests

TEXT = """
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: pointsman, generation: 3}
spec: {controllerName: pointsman.dev/controlplane}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: istio}
spec: {controllerName: istio.io/gateway-controller, description: of another}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ours, namespace: infra}
spec: {gatewayClassName: pointsman, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs, namespace: infra}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: both, namespace: infra}
spec: {parentRefs: [{name: ours}, {name: theirs}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: foreign, namespace: infra}
spec: {parentRefs: [{name: theirs}], rules: [{backendRefs: [{name: web, port: 80}]}]}
"""


def test_gateways_of_other_classes_are_left_to_others(tmp_path: Path) -> None:
    found = owned(manifests(tmp_path, TEXT))

    assert list(found.gateways) == [("infra", "ours")]
    assert [ref.id.name for ref in found.routes[ObjectName("infra", "both")].parents] == ["ours"]


def test_a_route_gets_no_entry_for_the_gateway_of_another_controller(tmp_path: Path) -> None:
    found = statuses(render(manifests(tmp_path, TEXT), {}, Options(by_class=True, bbr=None)).status)

    parents = found[ObjectKey("HTTPRoute", ObjectName("infra", "both"))]["parents"]
    assert isinstance(parents, list)
    assert [each["parentRef"]["name"] for each in parents] == ["ours"]
    assert found[ObjectKey("HTTPRoute", ObjectName("infra", "foreign"))] == {"parents": []}
    assert ObjectKey("Gateway", ObjectName("infra", "theirs")) not in found


def test_a_class_that_names_this_controller_is_accepted(tmp_path: Path) -> None:
    (found,) = class_statuses(manifests(tmp_path, TEXT))

    assert (found.id.name, found.accepted.is_true, found.generation) == ("pointsman", True, 3)


def test_from_folders_every_gateway_is_served(tmp_path: Path) -> None:
    found = statuses(render(manifests(tmp_path, TEXT), {}, Options(bbr=None)).status)

    assert ObjectKey("Gateway", ObjectName("infra", "theirs")) in found


def test_all_namespaces_are_followed_and_the_pods_of_pools_alone() -> None:
    found = needs(Manifests())

    assert Selection(GATEWAY_CLASS) in found
    assert all(selection.namespace == "" and selection.resource is not POD for selection in found)
