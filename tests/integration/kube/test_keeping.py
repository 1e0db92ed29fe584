"""Objects are applied, put right and deleted at an API server; of several replicas one does it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.kube.objects import Manifests
from gateway.kube.sources.cluster.elector import Election
from gateway.kube.sources.cluster.resources import DEPLOYED, HTTP_ROUTE, Selection
from gateway.kube.sources.cluster.source import ClusterSource, Consumer
from gateway.kube.sources.opening import Cluster, opened
from gateway.kube.sources.source import Wanted
from gateway.service.metrics import Registry
from tests.integration.kube.api_server import ApiServer, serving
from tests.integration.kube.waiting import eventually

OURS = "pointsman.dev/controlplane"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/models/leases"
SERVICES = "/api/v1/services"
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": "models", "ownerReferences": [{"uid": "u-1"}]},
    "spec": {"ports": [{"port": 80}]},
}
WANTED = Wanted((SERVICE,), frozenset({"u-1"}))


def needs(_known: Manifests) -> tuple[Selection, ...]:
    return (Selection(HTTP_ROUTE, "models"),)


def server_of(*kinds: str) -> ApiServer:
    """Watched over all namespaces; objects of one are written below it."""
    server = ApiServer()
    server.install(*(Selection(each).path("v1") for each in DEPLOYED), LEASES, *kinds)
    return server


@asynccontextmanager
async def replica(config: Path, identity: str | None = None) -> AsyncIterator[ClusterSource]:
    election = None if identity is None else Election("models", "pointsman", identity)
    consumer = Consumer(needs, controller=OURS, election=election)
    async with opened(Cluster(config), consumer, Registry()) as source:
        assert isinstance(source, ClusterSource)
        yield source


def written(server: ApiServer, name: str = "services/s") -> list[dict[str, Any]]:
    return [body for path, _, body in server.applied if path.endswith(name)]


async def test_what_is_missing_is_applied_as_this_manager(tmp_path: Path) -> None:
    server = server_of()
    async with serving(server, tmp_path) as (config, _), replica(config) as source:
        await source.keep(WANTED)
        await eventually(lambda: len(written(server)) >= 1)

    path, query, body = next(each for each in server.applied if each[0].endswith("/s"))
    assert path == "/api/v1/namespaces/models/services/s"
    assert query == {"fieldManager": OURS, "force": "true"}
    assert body == SERVICE


async def test_what_somebody_changes_is_put_right_and_what_is_not_wanted_goes(tmp_path: Path) -> None:
    server = server_of()
    mirror(server)
    async with serving(server, tmp_path) as (config, _), replica(config) as source:
        await source.keep(WANTED)
        await eventually(lambda: ports(server) == [{"port": 80}])
        server.put("/api/v1/namespaces/models/services", "s", **{**SERVICE, "spec": {"ports": []}})
        await eventually(lambda: ports(server) == [{"port": 80}])

        server.put("/api/v1/namespaces/models/services", "s", **with_uid())
        await source.keep(Wanted((), frozenset({"u-2"})))
        await source.keep(Wanted((), frozenset({"u-1"})))
        await eventually(lambda: ports(server) is None)


async def test_one_kind_that_is_forbidden_keeps_no_other_away(tmp_path: Path) -> None:
    server = server_of()
    server.refusals["/api/v1/namespaces/models/services/s"] = 403
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s", "namespace": "models"}}
    async with serving(server, tmp_path) as (config, _), replica(config) as source:
        await source.keep(Wanted((SERVICE, account)))
        await eventually(lambda: len(written(server, "serviceaccounts/s")) >= 1)
        assert written(server) == []
        server.refusals.clear()
        await eventually(lambda: len(written(server)) >= 1)


async def test_the_first_secret_counts_for_every_replica(tmp_path: Path) -> None:
    server = server_of()
    async with serving(server, tmp_path) as (config, _), replica(config) as one, replica(config) as other:
        first = await one.shared_secret("models", "xds", lambda: {"key": b"first"})
        second = await other.shared_secret("models", "xds", lambda: {"key": b"second"})

    assert first == second == {"key": b"first"}


async def test_one_replica_writes_and_the_next_when_it_ends(tmp_path: Path) -> None:
    server = server_of()
    async with serving(server, tmp_path) as (config, _):
        async with replica(config, "second") as second:
            async with replica(config, "first") as first:
                # Whoever comes first holds it; both want the same object under another port.
                await eventually(lambda: holder(server) in ("first", "second"))
                leader = holder(server)
                await first.keep(Wanted(({**SERVICE, "spec": {"of": "first"}},)))
                await second.keep(Wanted(({**SERVICE, "spec": {"of": "second"}},)))
                await eventually(lambda: len(written(server)) >= 1)
                assert {body["spec"]["of"] for body in written(server)} == {leader}
            await eventually(lambda: holder(server) == "second")
            await eventually(lambda: {"of": "second"} in [body["spec"] for body in written(server)])
        assert holder(server) == "", "one that ends gives it up"


async def test_what_answers_in_the_servers_place_ends_no_election(tmp_path: Path) -> None:
    server = server_of()
    server.garbled.add(f"{LEASES}/pointsman")
    async with serving(server, tmp_path) as (config, _), replica(config, "a"):
        await eventually(lambda: (f"{LEASES}/pointsman", {}) in server.requests)
        server.garbled.clear()
        await eventually(lambda: holder(server) == "a")


async def test_a_refused_object_gets_an_event_once(tmp_path: Path) -> None:
    server = server_of()
    routes = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes"
    server.put(routes, "bad", spec={"rules": 1})
    async with serving(server, tmp_path) as (config, _):
        for _ in range(2):  # one that starts anew says the same
            async with replica(config):
                await eventually(lambda: len(written(server, "/events")) >= 1)
                server.put(routes, "good", spec={"rules": []})
    (event,) = written(server, "/events")

    assert event["involvedObject"]["name"] == "bad"
    assert "spec.rules" in event["message"]


def holder(server: ApiServer) -> str | None:
    try:
        found: str = server.object(LEASES, "pointsman")["spec"]["holderIdentity"]
    except KeyError:
        return None
    return found


def with_uid() -> dict[str, Any]:
    return {**SERVICE, "metadata": {**SERVICE["metadata"], "uid": "s-1"}}


def ports(server: ApiServer) -> Any:
    try:
        return server.object("/api/v1/namespaces/models/services", "s")["spec"]["ports"]
    except KeyError:
        return None


def mirror(server: ApiServer) -> None:
    """What is written in a namespace is seen in the list of all."""
    send = server.send

    def everywhere(path: str, event: dict[str, Any] | None) -> None:
        send(path, event)
        if path.startswith("/api/v1/namespaces/models/") and event is not None:
            send(path.replace("/namespaces/models", ""), event)

    server.send = everywhere  # type: ignore[method-assign]
