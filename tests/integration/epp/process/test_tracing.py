"""`epp --tracing` against a collector."""

import asyncio
from pathlib import Path

import pytest

from tests.collector import collecting
from tests.integration.epp.process.test_process import CONFIG, POOLS, SLICE, model_servers, picker


async def test_traces_reach_a_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    async with collecting(monkeypatch) as collector, model_servers(1) as (server,):
        (folder / "pools.yaml").write_text(POOLS + SLICE.format(port=server))
        async with picker(folder, "--tracing", "--config-text", CONFIG, log=tmp_path / "log") as running:
            await running.pick("hello")
            async with asyncio.timeout(20):
                while len(collector.traces) < 2:
                    await asyncio.sleep(0.05)
    assert set(collector.traces) == {"gateway.request", "gateway.request_orchestration"}
    assert len(set(collector.traces.values())) == 1
