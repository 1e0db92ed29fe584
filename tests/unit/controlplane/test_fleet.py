"""Gateways with Envoys of their own are rendered each by itself, and their objects have one status of all."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

import pytest

from controlplane.fleet import Fleet, Memos, fleet
from controlplane.metrics import Metrics
from controlplane.options import Deployment, Options
from controlplane.plane import ControlPlane
from controlplane.status.conditions import PolicyStatus, Status, met, unmet
from controlplane.status.merging import merged
from controlplane.status.uptake import Uptake
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Snapshot as Resources
from gateway.kube.objects import Manifests, ObjectName
from gateway.kube.sources.source import Snapshot, Statuses
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool

CLASS = (
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\n"
    "spec: {controllerName: pointsman.dev/controlplane%s}\n"
)
DEPLOYMENT = Deployment("envoy", ObjectName("system", "pointsman"), 18000)
OPTIONS = Options(by_class=True, deployment=DEPLOYMENT)
A, B = "default/a", "default/b"


def placed(name: str) -> str:
    return service(f"{name}-c", spec="type: LoadBalancer, ports: [{port: 80}]") + (
        "status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}\n"
    )


@pytest.fixture
def found(tmp_path: Path) -> Fleet:
    """Two Gateways at port 80: one route of both to the pool `p`, one of the second alone to `q`; `r` has no route."""
    texts = (
        CLASS % "", gateway(name="a"), gateway(name="b"), placed("a"), service(),
        route(to_pool("/both"), name="both", parents="{name: a}, {name: b}"),
        route(to_pool("/one", "q"), name="one", parents="{name: b}"),
        route(to_pool("/none", "p"), name="none", parents="{name: else}"),
        pool(), pool("q"), pool("r"),
    )  # fmt: skip
    return fleet(manifests(tmp_path, *texts), {}, OPTIONS, {})


def clusters(found: Fleet, group: str) -> set[str]:
    listed = found.groups[group].snapshot.of(names.CLUSTER_TYPE)
    return {each.name for each in listed if each.name.startswith("pool_")}


def whole(found: Fleet) -> Status:
    assert found.rest is not None
    return merged([*(each.status for each in found.groups.values()), found.rest])


def test_each_gateway_has_its_listeners_and_the_pools_that_its_routes_name(found: Fleet) -> None:
    assert found.groups.keys() == {A, B}
    for group in (A, B):
        assert [each.name for each in found.groups[group].snapshot.of(names.LISTENER_TYPE)] == ["listener_80"]
        assert found.groups[group].faults == ()
    (only,) = clusters(found, A)
    assert clusters(found, B) > {only}
    assert len(clusters(found, B)) == 2


def test_ports_of_two_gateways_do_not_meet(found: Fleet) -> None:
    assert [port.bound for group in found.groups.values() for port in group.ports] == [10080, 10080]


def test_one_status_tells_of_all_gateways(found: Fleet) -> None:
    status = whole(found)

    assert [str(each.id) for each in status.gateways] == [A, B]
    parents = {each.id.name: [parent.parent.name for parent in each.parents] for each in status.routes}
    assert parents == {"both": ["a", "b"], "none": [], "one": ["b"]}
    reached = {each.id.name: [parent.parent.name for parent in each.parents] for each in status.pools}
    assert reached == {"p": ["a", "b"], "q": ["b"], "r": []}
    assert [each.accepted.is_true for each in status.classes] == [True]


def test_a_gateway_is_programmed_at_the_address_of_its_service_and_not_without_one(found: Fleet) -> None:
    first, second = whole(found).gateways

    assert first.addresses == ("203.0.113.1",)
    assert first.conditions[1] == met("Programmed", "Programmed")
    assert (second.addresses, second.conditions[1].reason) == ((), "AddressNotAssigned")
    assert second.conditions[0].is_true


def test_parameters_that_cannot_be_followed_are_said_at_class_and_gateway(tmp_path: Path) -> None:
    text = CLASS % ", parametersRef: {group: '', kind: ConfigMap, name: p, namespace: system}"
    status = whole(fleet(manifests(tmp_path, text, gateway(name="a")), {}, OPTIONS, {}))

    (gateway_status,), (class_status,) = status.gateways, status.classes
    assert class_status.accepted.reason == "InvalidParameters"
    assert [each.reason for each in gateway_status.conditions] == ["InvalidParameters", "Invalid"]


def test_memos_of_a_gateway_that_is_gone_go(tmp_path: Path) -> None:
    memos: Memos = {}
    fleet(manifests(tmp_path, CLASS % "", gateway(name="a")), {}, OPTIONS, memos)
    assert [*memos] == [A]
    fleet(manifests(tmp_path, CLASS % "", gateway(name="b")), {}, OPTIONS, memos)
    assert [*memos] == [B]


def test_a_policy_is_accepted_where_it_is_enforced_at_every_gateway_that_it_targets() -> None:
    def status(*conditions: object) -> Status:
        name = ObjectName("default", "p")
        return Status(policies=tuple(PolicyStatus("SecurityPolicy", name, each) for each in conditions))  # type: ignore[arg-type]

    missing = unmet("Accepted", "TargetNotFound")
    good, bad = met("Accepted", "Accepted"), unmet("Accepted", "Invalid")
    for given, expected in (((missing, good), good), ((good, bad), bad), ((bad, missing), bad), ((missing,), missing)):
        (policy,) = merged([status(each) for each in given] + [Status()]).policies
        assert policy.accepted is expected


class Answers:
    """Envoys that ask nobody here."""

    async def serve(self, snapshots: Mapping[str, Resources]) -> tuple[str, ...]:
        self.versions = {name: each.version for name, each in snapshots.items()}
        return ()

    async def uptakes(self) -> AsyncIterator[Mapping[str, Uptake]]:
        yield {name: Uptake(version) for name, version in self.versions.items()}


@pytest.mark.parametrize(("is_ready", "reason"), [("true", "Programmed"), ("false", "Pending")])
async def test_envoys_that_ask_another_replica_count_once_they_are_ready(
    tmp_path: Path, is_ready: str, reason: str
) -> None:
    slices = (
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
        "metadata: {name: a, labels: {kubernetes.io/service-name: a-c}}\naddressType: IPv4\nports: [{port: 10080}]\n"
        f"endpoints: [{{addresses: [10.0.0.1], conditions: {{ready: {is_ready}}}}}]\n"
    )
    found, answers = manifests(tmp_path, CLASS % "", gateway(name="a"), placed("a"), slices), Answers()
    plane = ControlPlane(Objects(found), answers, Metrics(), OPTIONS, lambda: "now")
    await plane.follow()
    await plane.watch()

    (status,) = plane.view.status.gateways
    assert [each.reason for each in status.conditions] == ["Accepted", reason]


class Objects:
    """A source with one state."""

    def __init__(self, found: Manifests) -> None:
        self._found = found

    async def snapshots(self) -> AsyncGenerator[Snapshot, None]:
        yield Snapshot(self._found, {})

    async def report(self, statuses: Statuses, /) -> None:
        """It keeps none."""
