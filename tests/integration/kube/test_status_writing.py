"""The status of objects is written to an API server: once, under the version that was read, beside that of others."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.kube.objects import Manifests, ObjectKey, ObjectName
from gateway.kube.sources.cluster.resources import HTTP_ROUTE, Selection
from gateway.kube.sources.cluster.source import Consumer
from gateway.kube.sources.opening import Cluster, opened
from gateway.kube.sources.source import StatusSource
from gateway.service.metrics import Registry
from tests.integration.kube.api_server import ApiServer, serving
from tests.integration.kube.waiting import eventually

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes"
ROUTE = f"{ROUTES}/a"
KEY = ObjectKey("HTTPRoute", ObjectName("models", "a"))
OURS, THEIRS = "pointsman.dev/controlplane", "other.dev/controller"


def needs(_known: Manifests) -> tuple[Selection, ...]:
    return (Selection(HTTP_ROUTE, "models"),)


def status(controller: str, reason: str = "Accepted") -> dict[str, Any]:
    condition = {"type": "Accepted", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "T"}
    return {"parents": [{"parentRef": {"name": "g"}, "controllerName": controller, "conditions": [condition]}]}


def put_route(server: ApiServer, **fields: object) -> None:
    spec = {"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}
    server.put(ROUTES, "a", spec=spec, **fields)


@asynccontextmanager
async def followed(config: Path, registry: Registry | None = None) -> AsyncIterator[StatusSource]:
    """The source, once it knows the route."""
    async with opened(Cluster(config), Consumer(needs, controller=OURS), registry or Registry()) as source:
        assert source is not None
        stream = source.snapshots()
        await anext(stream)
        yield source
        await stream.aclose()


def parents(server: ApiServer) -> list[Mapping[str, Any]]:
    return list(server.object(ROUTES, "a").get("status", {}).get("parents", ()))


async def test_a_status_is_applied_once_under_a_name_of_our_own(tmp_path: Path) -> None:
    server, registry = ApiServer(), Registry()
    put_route(server)
    async with serving(server, tmp_path) as (config, _), followed(config, registry) as source:
        await source.report({KEY: status(OURS)})
        await eventually(lambda: len(server.applied) == 1)
        await source.report({KEY: status(OURS)})
        await source.report({KEY: status(OURS, "Other")})
        await eventually(lambda: len(server.applied) == 2)

        (path, query, body), _ = server.applied
        assert (path, query) == (f"{ROUTE}/status", {"fieldManager": OURS, "force": "true"})
        assert body["apiVersion"] == "gateway.networking.k8s.io/v1"
        assert body["status"] == status(OURS)
        await eventually(lambda: 'writes_total{resource="httproutes.gateway.networking.k8s.io"} 2' in registry.render())


async def test_what_another_controller_writes_meanwhile_is_read_and_kept(tmp_path: Path) -> None:
    server = ApiServer()
    put_route(server)
    server.meanwhile = lambda: put_route(server, status=status(THEIRS))
    async with serving(server, tmp_path) as (config, _), followed(config) as source:
        await source.report({KEY: status(OURS)})
        await eventually(lambda: len(parents(server)) == 2)

    assert [each["controllerName"] for each in parents(server)] == [THEIRS, OURS]
    assert len(server.applied) == 2, "the first was refused"


async def test_a_status_that_the_object_has_is_not_written_by_a_controller_that_starts_anew(tmp_path: Path) -> None:
    server = ApiServer()
    put_route(server, status=status(OURS))
    async with serving(server, tmp_path) as (config, _), followed(config) as source:
        await source.report({KEY: status(OURS)})
        await eventually(lambda: (ROUTE, {}) in server.requests)
        await source.report({KEY: status(OURS, "Other")})
        await eventually(lambda: len(server.applied) == 1)

    assert server.applied[0][2]["status"] == status(OURS, "Other")


async def test_a_status_that_is_forbidden_is_written_once_it_may_be(tmp_path: Path) -> None:
    server = ApiServer()
    put_route(server)
    server.refusals[f"{ROUTE}/status"] = 403
    async with serving(server, tmp_path) as (config, _), followed(config) as source:
        await source.report({KEY: status(OURS)})
        await eventually(lambda: f"{ROUTE}/status" in [path for path, _ in server.requests])
        del server.refusals[f"{ROUTE}/status"]
        await eventually(lambda: len(parents(server)) == 1)


async def test_an_object_that_was_made_anew_gets_the_status_that_the_former_one_had(tmp_path: Path) -> None:
    server = ApiServer()
    put_route(server, metadata={"uid": "1"})
    async with serving(server, tmp_path) as (config, _), followed(config) as source:
        await eventually(lambda: server.watches(ROUTES) == 1)
        await source.report({KEY: status(OURS)})
        await eventually(lambda: len(parents(server)) == 1)

        server.delete(ROUTES, "a")
        put_route(server, metadata={"uid": "2"})
        await eventually(lambda: len(parents(server)) == 1)


async def test_an_object_that_is_gone_holds_up_no_other(tmp_path: Path) -> None:
    server = ApiServer()
    put_route(server)
    gone = ObjectKey("HTTPRoute", ObjectName("models", "gone"))
    async with serving(server, tmp_path) as (config, _), followed(config) as source:
        await source.report({gone: status(OURS), KEY: status(OURS)})
        await eventually(lambda: len(parents(server)) == 1)
