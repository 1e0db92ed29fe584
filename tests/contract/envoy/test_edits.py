"""Edits of manifests under load: what Envoy takes, when, and that no request pays for it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from controlplane.options import Delivery, PickerTransport
from controlplane.xds.files import FolderServer, restored
from controlplane.xds.resources import names
from controlplane.xds.snapshot import snapshot_of
from tests.contract.envoy.conftest import ROUTE, Bed
from tests.contract.envoy.gateway_under_test import pool, slice_of
from tests.unit.controlplane.folders import published

pytestmark = [pytest.mark.envoy, pytest.mark.deliveries]

WORKERS = 4
BY_FILES = pytest.mark.parametrize("delivery", [Delivery.FILES], ids=["files"])
BY_EXT_PROC = pytest.mark.parametrize("transport", [PickerTransport.EXT_PROC], ids=["ext_proc"])


@asynccontextmanager
async def load(bed: Bed) -> AsyncIterator[list[int]]:
    """Steady requests and streams for the pool `open` while the body runs; yields the statuses as they come."""
    statuses: list[int] = []
    stopping = asyncio.Event()

    async def work(body: bytes) -> None:
        while not stopping.is_set():
            answer = await bed.ask(body=body)
            statuses.append(answer.status)
            if b"stream" in body:
                assert answer.body.endswith(b"data: [DONE]\n\n")

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work(b'{"model": "open"}'))
        group.create_task(work(b'{"model": "open", "stream": true}'))
        yield statuses
        stopping.set()


def third_route(name: str) -> str:
    return ROUTE + (
        f"  - matches: [{{path: {{value: /v1}}, headers: [{{name: X-Gateway-Model-Name, value: {name}}}]}}]\n"
        f"    backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: {name}}}]\n"
    )


async def test_edits_take_effect_and_drop_no_request(bed: Bed) -> None:
    bed.pick(bed.two)
    async with load(bed) as statuses:
        before = (await bed.ask("late")).status
        await bed.gateway.apply(
            route=third_route("late"),
            pools=pool("open") + pool("closed", "FailClose") + pool("late"),
            late=slice_of("late", bed.one.port, {"app": "late"}),
        )
        bed.pick(bed.one, bed.two)
        added = await _eventually(bed, "late", 200)
        await bed.gateway.apply(pools=pool("open", "FailClose") + pool("closed") + pool("late"))
        await bed.gateway.apply(route=ROUTE, pools=pool("open") + pool("closed", "FailClose"), late="")
        removed = await _eventually(bed, "late", 404)
        await asyncio.sleep(0.3)

    assert (before, added, removed) == (404, 200, 404)
    assert len(statuses) > 20
    assert set(statuses) == {200}


@BY_EXT_PROC
async def test_a_new_endpoint_is_served_without_a_pause(bed: Bed) -> None:
    endpoints = bed.gateway.files["endpoints"]
    async with load(bed) as statuses:
        bed.pick(bed.two)
        await bed.ask()
        await bed.gateway.apply(endpoints=endpoints.replace(f"port: {bed.one.port}", f"port: {bed.dead}"))
        bed.pick(bed.two)
        await bed.ask()

    assert set(statuses) == {200}


@BY_EXT_PROC
async def test_a_changed_filter_chain_lets_streams_finish(bed: Bed, unused_tcp_port: int) -> None:
    """A second picker adds an access log, so the listener itself changes."""
    bed.pick(bed.two)
    async with load(bed) as statuses:
        await asyncio.sleep(0.2)
        await bed.gateway.apply(
            pools=pool("open") + pool("closed", "FailClose", picker="other"),
            other=slice_of("other", unused_tcp_port, {"kubernetes.io/service-name": "other"}),
        )
        await bed.gateway.until("listener_manager.listener_modified", 1)
        await asyncio.sleep(0.5)

    assert set(statuses) == {200}


@BY_FILES
@BY_EXT_PROC
async def test_a_file_written_in_place_is_ignored_and_a_rename_taken(bed: Bed) -> None:
    folder = bed.gateway.folder / "xds"
    path = folder / "rds" / "listener_80_bbr_ext_proc.json"
    figure = "http.listener_80.rds.listener_80_bbr_ext_proc.config_reload"
    count = (await bed.gateway.stats(f"^{figure}$"))[figure]
    document = json.loads(path.read_bytes())
    document["resources"][0]["virtual_hosts"][0]["routes"].pop(0)
    document["version_info"] = "edited"

    path.write_bytes(json.dumps(document).encode())
    await asyncio.sleep(0.3)
    in_place = (await bed.gateway.stats(f"^{figure}$"))[figure]
    resources = {kind: [item.body for item in found] for kind, found in restored(folder).resources.items()}
    resources[names.ROUTES_TYPE] = [{**body, "vhds": None} for body in resources[names.ROUTES_TYPE]]
    await FolderServer(folder).serve(snapshot_of(resources))
    await bed.gateway.until(figure, count + 1)

    assert in_place == count


@BY_FILES
@BY_EXT_PROC
async def test_every_edit_of_one_kind_writes_only_its_files(bed: Bed) -> None:
    folder = bed.gateway.folder / "xds"
    before = {name: (folder / name).stat().st_ino for name in published(folder)}

    await bed.gateway.apply()
    unchanged = {name: (folder / name).stat().st_ino for name in published(folder)}
    moved = bed.gateway.files["endpoints"].replace("name: open-0", "name: open-9").replace(str(bed.dead), "9")
    await bed.gateway.apply(endpoints=moved)
    after = {name: (folder / name).stat().st_ino for name in published(folder)}

    assert unchanged == before
    assert {name for name in after if after[name] != before[name]} == {
        "eds/pool_default_open.json",
        "eds/pool_default_closed.json",
    }


@BY_EXT_PROC
async def test_an_endpoint_that_leaves_finishes_its_stream(bed: Bed) -> None:
    bed.pick(bed.one)
    bed.one.goes_on.clear()
    body = b'{"model": "closed", "stream": true}'
    sent = {"content-type": "application/json"}
    async with bed.gateway.session.post(f"{bed.gateway.url}/v1/completions", data=body, headers=sent) as answer:
        first = await answer.content.readuntil(b"\n\n")
        endpoints = bed.gateway.files["endpoints"]
        await bed.gateway.apply(endpoints=endpoints.replace(f"port: {bed.one.port}", f"port: {bed.two.port}"))
        bed.one.goes_on.set()
        rest = await answer.content.read()

    assert b'"server": "one"' in first
    assert rest.endswith(b"data: [DONE]\n\n")


@BY_EXT_PROC
async def test_changing_the_picker_s_door_drops_no_request(bed: Bed) -> None:
    bed.pick(bed.two)
    async with load(bed) as statuses:
        for note in ("pointsman.dev/picker: http", "", "pointsman.dev/picker: auto"):
            notes = pool("open", notes=note) + pool("closed", "FailClose", notes=note)
            await bed.gateway.apply(pools=notes)
            await asyncio.sleep(0.5)

    assert set(statuses) == {200}


async def _eventually(bed: Bed, model: str, status: int) -> int:
    """The status once it is what is waited for; else the last one seen."""
    seen = 0
    for _ in range(100):
        seen = (await bed.ask(model)).status
        if seen == status:
            return seen
        await asyncio.sleep(0.05)
    return seen
