"""The failure matrix of docs/failure-modes.md, each cell on a real Envoy: the table says what is expected here.

One gateway for each door. The picker and the router stand behind wires that a test cuts, stalls or breaks; everything
in a row is asked at once, while streams of before go on.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from controlplane.options import Options, PickerTransport
from tests.conftest import ROOT
from tests.contract.envoy.conftest import Bed, MakeBed
from tests.contract.envoy.fakes import HOST
from tests.contract.envoy.gateway_under_test import pool, slice_of
from tests.contract.envoy.wires import Wire, wired

pytestmark = pytest.mark.envoy

MODES = {"FailOpen": "open", "FailClose": "closed"}
LARGE = 8_000_000
AT_ONCE = 300
# A picker counts as hung after a second over either door; a stream in flight outlives all that is asked meanwhile.
OPTIONS = Options(picker_timeout=0.5, picker_http_wait=0.5, picker_max_timeout=0.5)
PICKER_ADDRESS, ROUTER_ADDRESS = "127.0.0.2", "127.0.0.4"
RULE = """  - matches: [{{path: {{value: /{name}}}}}]
    backendRefs: [{{group: inference.networking.k8s.io, kind: InferencePool, name: {name}}}]
"""
ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm}
spec:
  parentRefs: [{name: gateway}]
  rules:
"""
Cells = Mapping[str, str]


def table(first_column: str) -> list[Cells]:
    """The rows of the page's table that begins with this column, by the heads of their columns."""
    page = (ROOT / "docs" / "failure-modes.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(first_column)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert found is not None, first_column
    head, _, *rows = ([cell.strip() for cell in line.strip("| \n").split("|")] for line in found[0].splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


async def _cut(wire: Wire) -> None:
    await wire.cut()


async def _stall(wire: Wire) -> None:
    wire.stall()


async def _break(wire: Wire) -> None:
    await wire.cut()
    wire.breaks_off = True
    await wire.mend()


async def _restart(wire: Wire) -> None:
    await wire.cut()
    await asyncio.sleep(0.3)
    await wire.mend()


DISTURBANCES: Mapping[str, Callable[[Wire], Awaitable[None]]] = {
    "down": _cut, "hung": _stall, "aborting": _break, "back": _restart,
}  # fmt: skip


async def heal(*wires: Wire) -> None:
    for wire in wires:
        wire.resume()
        await wire.cut()
        wire.breaks_off = False
        await wire.mend()


@pytest.fixture
async def behind(make_bed: MakeBed) -> AsyncIterator[tuple[Bed, Mapping[str, Sequence[Wire]]]]:
    """A gateway that reaches picker and router over wires, and the wires of each."""
    route = ROUTE + "".join(RULE.format(name=name) for name in MODES.values())
    async with make_bed(OPTIONS, route=route) as bed, AsyncExitStack() as stack:
        options = bed.gateway.options
        assert options.bbr is not None
        picker = await stack.enter_async_context(wired(PICKER_ADDRESS, (bed.picker.port, options.picker_http_port)))
        router = await stack.enter_async_context(wired(ROUTER_ADDRESS, (options.bbr[1],)))
        bed.gateway.options = replace(options, bbr=(ROUTER_ADDRESS, options.bbr[1]))
        parts = [part for part in bed.gateway.files["endpoints"].split("---\n") if part and "service-name" not in part]
        over_wire = slice_of("epp", bed.picker.port, {"kubernetes.io/service-name": "epp"}).replace(
            HOST, PICKER_ADDRESS
        )
        await bed.gateway.apply(endpoints="".join(f"---\n{part}" for part in parts) + over_wire)
        bed.pick(bed.one, bed.two)
        bed.one.gap = 0.25
        wires = {"picker": (picker,), "router": (router,)}
        yield bed, wires if bed.transport is PickerTransport.HTTP else {**wires, "fused": (picker, router)}


async def answered(bed: Bed, mode: str, column: str) -> str:
    """What one new request gets, in the table's words."""
    method = "GET" if column == "GET" else "POST"
    size = LARGE if column == "POST 8 MB" else 1
    return str((await bed.ask(path=f"/{MODES[mode]}/x", method=method, size=size)).status)


@asynccontextmanager
async def in_flight(bed: Bed, mode: str) -> AsyncIterator[asyncio.Task[str]]:
    """A stream that has begun; how it ends."""
    body = b'{"model": "m", "stream": true}'
    async with bed.gateway.session.post(f"{bed.gateway.url}/{MODES[mode]}/x", data=body) as answer:
        assert (await answer.content.readline()).startswith(b"data:")

        async def rest() -> str:
            try:
                return "whole" if b"[DONE]" in await answer.content.read() else "cut"
            except aiohttp.ClientError:
                return "cut"

        yield asyncio.create_task(rest())


async def well(bed: Bed) -> None:
    """Wait until pools that close serve again."""
    async with asyncio.timeout(20):
        while {await answered(bed, mode, "GET") for mode in MODES} != {"200"}:
            await asyncio.sleep(0.05)


async def outcome(bed: Bed, wires: Sequence[Wire], how: str) -> dict[str, dict[str, str]]:
    """One disturbance: of each pool all cells."""
    columns = ("GET", "POST", "POST 8 MB")
    await well(bed)
    async with AsyncExitStack() as stack:
        streams = {mode: await stack.enter_async_context(in_flight(bed, mode)) for mode in MODES}
        await asyncio.gather(*(DISTURBANCES[how](wire) for wire in wires))
        if how == "back":
            await well(bed)
        found = await asyncio.gather(*(answered(bed, mode, column) for mode in MODES for column in columns))
        cells = iter(found)
        seen = {mode: {column: next(cells) for column in columns} for mode in MODES}
        ended = {mode: await stream for mode, stream in streams.items()}
    await heal(*wires)
    return {mode: {**seen[mode], "stream in flight": ended[mode]} for mode in MODES}


async def test_pickers_and_routers_fail_as_the_table_says(behind: tuple[Bed, Mapping[str, Sequence[Wire]]]) -> None:
    bed, wires = behind
    door = "HTTP" if bed.transport is PickerTransport.HTTP else "ext_proc"
    rows = [row for row in table("who") if row["asked over"] in ("either", door)]
    assert {(row["who"], row["how"]) for row in rows} == {(who, how) for who in wires for how in DISTURBANCES}
    for who, how in dict.fromkeys((row["who"], row["how"]) for row in rows):
        if who == "fused" and not bed.gateway.options.fused:
            bed.gateway.options = replace(bed.gateway.options, fused=True)
            await bed.gateway.apply()
        found = await outcome(bed, wires[who], how)
        for row in rows:
            if (row["who"], row["how"]) == (who, how):
                assert found[row["pool"]].items() <= row.items(), (door, who, how, row["pool"], found)


async def _ask_sick(bed: Bed, name: str, body: bytes, patience: float) -> str:
    """What a request gets, in so many seconds, whose first choice is the sick server."""
    try:
        async with asyncio.timeout(patience):
            url = f"{bed.gateway.url}/{name}/x"
            async with bed.gateway.session.post(url, data=body, headers={"content-type": "application/json"}) as answer:
                text = await answer.read()
                if body != b"{}" and b"[DONE]" not in text:
                    return "cut"
                return f"{answer.status} retry-after" if "retry-after" in answer.headers else str(answer.status)
    except TimeoutError:
        return "waits"
    except aiohttp.ClientError:
        return "cut"


@asynccontextmanager
async def sick(bed: Bed, kind: str) -> AsyncIterator[bytes]:
    """The first server has this fault; the body that meets it."""
    healthy = {"fault": "", "status": 200, "headers": {}, "gap": bed.one.gap}
    faults: Mapping[str, Mapping[str, object]] = {
        "breaks off before its headers": {"fault": "reset"},
        "breaks off before its headers, 300 requests at once": {"fault": "reset"},
        "breaks off within a stream": {"fault": "cut"},
        "hangs": {"fault": "silent"},
        "drips": {"gap": 0.1},
        "answers 500": {"status": 500},
        "answers 503 with Retry-After": {"status": 503, "headers": {"retry-after": "1"}},
        "answers 429": {"status": 429},
    }
    for name, value in {**healthy, **faults.get(kind, {})}.items():
        setattr(bed.one, name, value)
    yield b'{"stream": true}' if kind in ("breaks off within a stream", "drips") else b"{}"
    for name, value in healthy.items():
        setattr(bed.one, name, value)


POOLS = {"alone": 1, "one of two": 2, "one of three": 3}


async def test_model_servers_fail_as_the_table_says(make_bed: MakeBed) -> None:
    names = [f"{kind}{count}" for kind in ("sick", "gone") for count in POOLS.values()]
    pools = "".join(pool(name) for name in names)
    async with make_bed(OPTIONS, route=ROUTE + "".join(RULE.format(name=name) for name in names), pools=pools) as bed:
        ports = {"sick": (bed.one.port, bed.two.port, bed.dead), "gone": (bed.dead, bed.two.port, bed.one.port)}
        slices = "".join(
            slice_of(name, port, {"app": name}, index)
            for name in names
            for index, port in enumerate(ports[name[:-1]][: int(name[-1])])
        )
        await bed.gateway.apply(
            endpoints=slices + slice_of("epp", bed.picker.port, {"kubernetes.io/service-name": "epp"})
        )
        bed.orders.by_pool = {
            f"default/{name}": [f"{HOST}:{port}" for port in ports[name[:-1]][: int(name[-1])]] for name in names
        }
        for row in table("model server"):
            how = row["model server"]
            is_gone = how.startswith("refuses")
            times = AT_ONCE if "at once" in how else 1
            patience = 2.0 if how == "hangs" else 30.0  # 300 requests may take a busy host its time
            async with sick(bed, how) as body:
                for column, count in POOLS.items():
                    name = f"{'gone' if is_gone else 'sick'}{count}"
                    found = {*await asyncio.gather(*(_ask_sick(bed, name, body, patience) for _ in range(times)))}
                    assert found == {row[column]}, (how, column)
