"""The control plane's page in a real browser, over a stack that serves."""

import asyncio
from pathlib import Path

import httpx2 as httpx

from processes.plan import HOST
from tests.browser import SECONDS, opened
from tests.e2e.stack import Stack
from tests.e2e.test_requests import chat

ROUTES = "[...document.querySelectorAll('#routes tbody tr')].map((row) => row.textContent)"
CARDS = """Object.fromEntries([...document.querySelectorAll('.card')].map((each) =>
  [each.querySelector('span').textContent, each.querySelector('b').textContent]))"""


async def test_routes_have_live_shares_and_objects_their_conditions(ext_proc_stack: Stack, tmp_path: Path) -> None:
    url = f"http://{HOST}:{ext_proc_stack.settings.ports.controlplane_http}"
    async with opened(f"{url}/", tmp_path, (1400, 1400)) as page, httpx.AsyncClient(timeout=30) as client:
        await page.until("document.querySelectorAll('#routes tbody tr').length")
        async with asyncio.timeout(SECONDS):
            while not any("100 %" in row for row in await page.evaluate(ROUTES)):
                await client.post(f"{ext_proc_stack.url}/v1/chat/completions", json=chat("Qwen/Qwen3-32B"))
                await asyncio.sleep(0.05)

        rows = await page.evaluate(ROUTES)
        assert any("vllm-qwen3-32b" in row and "100 %" in row for row in rows), rows
        await page.until(f"({CARDS})['Envoys have the latest'] === '1 / 1'")
        cards = await page.evaluate(CARDS)
        assert cards["Gateways without complaint"] == "1 / 1"
        assert float(cards["requests a second"]) > 0
        conditions = await page.evaluate("document.getElementById('conditions').textContent")
        assert "InferencePool default/vllm-qwen3-32b" in conditions
        assert "Referenced by an HTTPRoute accepted by the parentRef Gateway" in conditions
        picker = await page.evaluate("document.querySelector('#pickers a').href")
        assert picker == f"http://{HOST}:{ext_proc_stack.settings.ports.epp_metrics}/"
        assert await page.evaluate("document.getElementById('connection').textContent") == "live"


async def test_the_picker_s_page_shows_how_the_fleet_is(ext_proc_stack: Stack, tmp_path: Path) -> None:
    url = f"http://{HOST}:{ext_proc_stack.settings.ports.epp_metrics}/"
    async with opened(url, tmp_path) as page:
        await page.until("document.querySelectorAll('#health .card').length === 6")

        shown = await page.evaluate("document.getElementById('health').textContent")

    assert "attempts that failed at servers, since the start" in shown
    assert "NaN" not in shown
