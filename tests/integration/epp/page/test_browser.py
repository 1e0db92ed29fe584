"""The picker's page as a person sees it, in a real browser."""

from pathlib import Path

from gateway.service import clock
from tests.browser import opened
from tests.integration.epp.page.pickers import SCRIPT, decide, picker
from tests.integration.epp.page.test_stream import served

ROWS = "document.querySelectorAll('#decisions tbody tr').length"


async def test_a_decision_is_shown_and_a_click_explains_it(tmp_path: Path) -> None:
    made = picker()
    decide(made, "chosen", "m", clock.monotonic())
    async with served(made) as session, opened(str(session._base_url), tmp_path) as page:
        await page.until(f"{ROWS} === 1")
        assert await page.evaluate("document.getElementById('connection').textContent") == "live"
        assert await page.evaluate("document.querySelectorAll('#pools tbody tr').length") == 3

        await page.evaluate("document.querySelector('#decisions tbody tr').click()")

        await page.until("document.querySelector('table.heat')")
        heads = "[...document.querySelectorAll('table.heat th')].map((each) => each.textContent)"
        assert {"prefix-cache-scorer", "queue-scorer", "total"} <= set(await page.evaluate(heads))
        text = await page.evaluate("document.getElementById('explanation').textContent")
        assert "chosen" in text
        assert "secret" not in await page.evaluate("document.documentElement.textContent")


async def test_new_decisions_come_by_themselves_and_a_refusal_says_why(tmp_path: Path) -> None:
    made = picker()
    async with served(made) as session, opened(str(session._base_url), tmp_path) as page:
        await page.until("document.querySelectorAll('#pools tbody tr').length === 3")
        decide(made, "refused", "a\nb", clock.monotonic())
        await page.until(f"{ROWS} === 1")

        assert "400" in await page.evaluate("document.querySelector('#decisions tr.refused').textContent")


async def test_a_client_s_words_are_shown_as_text(tmp_path: Path) -> None:
    made = picker()
    decide(made, "script", SCRIPT, clock.monotonic())
    async with served(made) as session, opened(str(session._base_url), tmp_path) as page:
        await page.until(f"{ROWS} === 1")
        await page.evaluate("document.querySelector('#decisions tbody tr').click()")
        await page.until("document.querySelector('#explanation dl')")

        assert await page.evaluate("document.title") == "Pointsman"
        assert await page.evaluate("document.querySelectorAll('img').length") == 0
        assert SCRIPT in await page.evaluate("document.querySelector('#explanation').textContent")
