"""An API server as a source: what is followed, and what its faults cost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from epp.discovery import Scope
from gateway.kube.objects import Manifests
from gateway.kube.resolution.quotas import quota_rules
from gateway.kube.sources.cluster.resources import CONFIG_MAP, OBJECTIVE_X, POOL, Selection, pods_of
from gateway.kube.sources.cluster.source import Consumer
from gateway.kube.sources.opening import Cluster, opened
from gateway.kube.sources.source import Snapshot
from gateway.service.metrics import Registry
from tests.integration.kube.api_server import ApiServer, serving
from tests.integration.kube.waiting import SECONDS, eventually

GROUP = "inference.networking.k8s.io"
POOLS = f"/apis/{GROUP}/v1/namespaces/models/inferencepools"
PODS = "/api/v1/namespaces/models/pods"
OBJECTIVES = "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/models/inferenceobjectives"
QUOTA_POLICIES = "/apis/aigateway.envoyproxy.io/v1alpha1/namespaces/models/quotapolicies"
CONFIG_MAPS = "/api/v1/namespaces/models/configmaps"
READY = {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}


def of_pool(known: Manifests) -> tuple[Selection, ...]:
    pools = (Selection(POOL, "models", "a"), Selection(OBJECTIVE_X, "models"))
    return (*pools, *pods_of(known.pools.values()))


def config_maps(_known: Manifests) -> tuple[Selection, ...]:
    return (Selection(CONFIG_MAP, "models"),)


def put_pool(server: ApiServer, app: str = "a") -> None:
    server.install(PODS)
    server.put(
        POOLS,
        "a",
        spec={
            "selector": {"matchLabels": {"app": app}},
            "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
        },
    )


def put_pod(server: ApiServer, name: str) -> None:
    server.put(PODS, name, metadata={"labels": {"app": "a"}}, status=READY)


@asynccontextmanager
async def followed(
    config: Path, needs: Callable[[Manifests], tuple[Selection, ...]] = of_pool, registry: Registry | None = None
) -> AsyncIterator[AsyncIterator[Snapshot]]:
    async with opened(Cluster(config), Consumer(needs), registry or Registry()) as source:
        assert source is not None
        async with aclosing(source.snapshots()) as stream:
            yield stream


async def until(stream: AsyncIterator[Snapshot], holds: Callable[[Snapshot], bool]) -> Snapshot:
    async with asyncio.timeout(SECONDS):
        async for snapshot in stream:
            if holds(snapshot):
                return snapshot
    raise AssertionError("the stream ended")


def pods(snapshot: Snapshot) -> set[str]:
    return {name.name for name in snapshot.manifests.pods}


async def test_a_pool_and_the_pods_with_its_labels_are_followed(tmp_path: Path) -> None:
    server = ApiServer()
    server.install(OBJECTIVES)
    put_pool(server)
    put_pod(server, "one")
    async with serving(server, tmp_path) as (config, _), followed(config) as stream:
        first = await until(stream, lambda _: True)
        assert pods(first) == {"one"}, "the first snapshot holds all that is needed"
        assert (POOLS, "metadata.name=a") in [(path, query.get("fieldSelector")) for path, query in server.requests]
        assert (PODS, "app=a") in [(path, query.get("labelSelector")) for path, query in server.requests]

        await eventually(lambda: server.watches(PODS) == 1)
        put_pod(server, "two")
        await until(stream, lambda snapshot: pods(snapshot) == {"one", "two"})
        server.delete(PODS, "one")
        last = await until(stream, lambda snapshot: pods(snapshot) == {"two"})
        assert [str(key) for key in last.changed] == ["Pod models/one"]


async def test_a_pool_with_another_selector_gets_other_pods_and_a_second_watch_replaces_the_first(
    tmp_path: Path,
) -> None:
    server = ApiServer()
    server.install(OBJECTIVES)
    put_pool(server)
    put_pod(server, "one")
    async with serving(server, tmp_path) as (config, _), followed(config) as stream:
        await until(stream, lambda snapshot: pods(snapshot) == {"one"})
        await eventually(lambda: server.watches(POOLS) == 1)

        put_pool(server, "b")
        await eventually(
            lambda: (PODS, "app=b") in [(path, query.get("labelSelector")) for path, query in server.requests]
        )
        await eventually(lambda: server.watches(PODS) == 1)


async def test_a_picker_follows_the_quotas_of_its_namespace(tmp_path: Path) -> None:
    server = ApiServer()
    put_pool(server)
    rule = "- {name: everyone, requests: 10, per: minute}"
    server.put(CONFIG_MAPS, "quotas", metadata={"labels": {"pointsman.dev/quotas": "true"}}, data={"rules": rule})
    target = {"group": "aigateway.envoyproxy.io", "kind": "AIServiceBackend", "name": "b"}
    quota = {"quota": {"limit": 5, "duration": "60s"}}
    server.put(QUOTA_POLICIES, "policy", spec={"targetRefs": [target], "serviceQuota": quota})

    async with serving(server, tmp_path) as (config, _), followed(config, Scope("models", "a").needs) as stream:
        first = await until(stream, lambda _: True)

    assert first.problems == ()
    assert [rule.limit for rule in quota_rules(first.manifests)] == [10, 5]


async def test_a_long_list_comes_in_pages(tmp_path: Path) -> None:
    server = ApiServer()
    for number in range(600):
        server.put(CONFIG_MAPS, f"map-{number:03}")
    async with serving(server, tmp_path) as (config, _), followed(config, config_maps) as stream:
        first = await until(stream, lambda _: True)

    assert len(first.manifests.config_maps) == 600
    assert [query.get("continue") for path, query in server.requests if "watch" not in query] == [None, "250", "500"]


async def test_a_watch_goes_on_from_its_bookmark_and_lists_anew_where_that_is_too_old(tmp_path: Path) -> None:
    server = ApiServer()
    server.put(CONFIG_MAPS, "one")
    async with serving(server, tmp_path) as (config, _), followed(config, config_maps) as stream:
        await until(stream, lambda _: True)
        await eventually(lambda: server.watches(CONFIG_MAPS) == 1)
        server.bookmark(CONFIG_MAPS)
        marked = str(server.version)
        await asyncio.sleep(0.1)
        server.send(CONFIG_MAPS, None)
        await eventually(lambda: server.requests[-1][1].get("resourceVersion") == marked)

        await eventually(lambda: server.watches(CONFIG_MAPS) == 1)
        gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
        server.send(CONFIG_MAPS, {"type": "ERROR", "object": gone})
        await eventually(lambda: "watch" not in server.requests[-1][1] or server.watches(CONFIG_MAPS) == 1)
        server.put(CONFIG_MAPS, "two")
        last = await until(stream, lambda snapshot: len(snapshot.manifests.config_maps) == 2)

    assert last.problems == ()


async def test_a_resource_that_is_forbidden_or_missing_holds_nobody_and_comes_later(tmp_path: Path) -> None:
    server = ApiServer()
    server.refusals[OBJECTIVES] = 403
    put_pool(server)
    async with serving(server, tmp_path) as (config, _), followed(config) as stream:
        first = await until(stream, lambda _: True)
        assert len(first.manifests.pools) == 1

        del server.refusals[OBJECTIVES]
        server.put(OBJECTIVES, "high", spec={"poolRef": {"name": "a"}, "priority": 2})
        await until(stream, lambda snapshot: len(snapshot.manifests.objectives) == 1)


async def test_an_object_that_is_refused_stays_as_it_was_and_stops_no_other(tmp_path: Path) -> None:
    server = ApiServer()
    server.install(OBJECTIVES)
    put_pool(server)
    put_pod(server, "one")
    async with serving(server, tmp_path) as (config, _), followed(config) as stream:
        await until(stream, lambda snapshot: pods(snapshot) == {"one"})
        await eventually(lambda: server.watches(PODS) == 1)

        server.put(PODS, "one", metadata={"labels": {"app": "a"}}, status={"podIP": "nowhere"})
        put_pod(server, "two")
        last = await until(stream, lambda snapshot: pods(snapshot) == {"one", "two"} and bool(snapshot.problems))

    assert [pod.addresses for name, pod in sorted(last.manifests.pods.items())] == [("10.0.0.1",)] * 2
    assert "Pod models/one" in str(last.problems[0])


async def test_a_renewed_token_is_taken(tmp_path: Path) -> None:
    server = ApiServer()
    server.put(CONFIG_MAPS, "one")
    async with serving(server, tmp_path) as (config, _), followed(config, config_maps) as stream:
        await until(stream, lambda _: True)
        server.token = "second"
        (tmp_path / "token").write_text("second")
        await eventually(lambda: server.watches(CONFIG_MAPS) == 1)
        server.send(CONFIG_MAPS, None)
        await eventually(lambda: server.watches(CONFIG_MAPS) == 0)
        await eventually(lambda: server.watches(CONFIG_MAPS) == 1)
        server.put(CONFIG_MAPS, "two")
        await until(stream, lambda snapshot: len(snapshot.manifests.config_maps) == 2)


async def test_a_server_that_goes_and_comes_back_takes_nothing_away(tmp_path: Path) -> None:
    server, registry = ApiServer(), Registry()
    server.put(CONFIG_MAPS, "one")
    async with AsyncExitStack() as stack:
        async with serving(server, tmp_path) as (config, port):
            stream = await stack.enter_async_context(followed(config, config_maps, registry))
            await until(stream, lambda _: True)
            assert "pointsman_api_server_reached 1" in registry.render()
        await eventually(lambda: "pointsman_api_server_reached 0" in registry.render())

        await stack.enter_async_context(serving(server, tmp_path, port))
        server.put(CONFIG_MAPS, "two")
        await until(stream, lambda snapshot: len(snapshot.manifests.config_maps) == 2)
        assert 'pointsman_api_server_changes_total{state="lost"} 1' in registry.render()
        assert 'pointsman_api_server_changes_total{state="reached"} 2' in registry.render()
