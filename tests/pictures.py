"""`make pictures`: the pictures of the documentation, taken from a demo that runs and has something to do, and from the
lab's report on the question of docs/lab.md."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from lab.__main__ import main as answer_question
from processes.plan import HOST
from tests.browser import Tab, opened
from tests.conftest import ROOT, free_ports
from tests.e2e.stack import PORT_COUNT, Stack, free_stack_ports, process_stack

TARGET = ROOT / "docs" / "images"
MODELS = ("Qwen/Qwen3-32B", "food-review-1", "code-assist", "phi-4-mini-instruct")
CONVERSATIONS = 12
TURNS = 16
QUESTION = ("chat", "--rate", "40", "--servers", "3..8", "--steps", "6", "--warm", "20", "--seconds", "40")
ROWS = 150  # decisions on the page when its picture is taken: by then its lines have some history


def main() -> int:
    """Start the demo, send conversations, and take the page in both schemes of colours."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        run = Path(folder)
        envoy = ROOT / ".tools" / "envoy" / "bin" / "envoy"
        ports = free_stack_ports(free_ports(PORT_COUNT))
        with process_stack(ROOT, run / "run", envoy, ports, simulator_profile="demo") as stack:
            asyncio.run(_take(stack, run))
            asyncio.run(_take_routes(stack, run))
        answer_question([*QUESTION, "--output", str(run / "lab.html")])
        asyncio.run(_take_report(run / "lab.html", run))
    return 0


async def _take_report(page: Path, folder: Path) -> None:
    async with opened(page.as_uri(), folder / "report-browser", (1400, 1150)) as tab:
        await tab.until("document.querySelector('svg')")
        await tab.prefer("light")
        (TARGET / "lab.png").write_bytes(await tab.picture())


async def _take(stack: Stack, folder: Path) -> None:
    url = f"http://{HOST}:{stack.settings.ports.epp_metrics}/"
    async with opened(url, folder / "browser") as page, aiohttp.ClientSession(stack.url) as client:
        talks = [asyncio.create_task(_talk(client, number)) for number in range(CONVERSATIONS)]
        await page.until(f"document.querySelectorAll('#decisions tbody tr').length >= {ROWS}")
        await page.evaluate("document.querySelectorAll('#decisions tbody tr')[3].click()")
        await page.until("document.querySelector('table.heat')")
        for scheme in ("light", "dark"):
            await _save(page, f"page-{scheme}", scheme)
        await asyncio.gather(*talks)


async def _take_routes(stack: Stack, folder: Path) -> None:
    """The control plane's page, once it knows the shares."""
    url = f"http://{HOST}:{stack.settings.ports.controlplane_http}/"
    async with (
        opened(url, folder / "routes", (1400, 900)) as page,
        aiohttp.ClientSession(stack.url) as client,
        asyncio.TaskGroup() as talks,
    ):
        for number in range(CONVERSATIONS):
            talks.create_task(_talk(client, number))
        await page.until("document.getElementById('routes')?.textContent.includes('100 %')")
        await _save(page, "routes-light", "light")


async def _save(page: Tab, name: str, scheme: str) -> None:
    await page.prefer(scheme)
    await asyncio.sleep(0.5)  # for the colours to be painted
    (TARGET / f"{name}.png").write_bytes(await page.picture())


async def _talk(client: aiohttp.ClientSession, number: int) -> None:
    """One conversation that grows with each turn."""
    messages = [{"role": "system", "content": f"You are assistant {number % 3}. " + "Answer with care. " * 200}]
    for turn in range(TURNS):
        messages.append({"role": "user", "content": f"Question {turn} of conversation {number}. " * 20})
        body = {"model": MODELS[number % len(MODELS)], "messages": messages, "max_tokens": 60}
        async with client.post("/v1/chat/completions", json=body) as response:
            answer = await response.json()
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})


if __name__ == "__main__":
    sys.exit(main())
