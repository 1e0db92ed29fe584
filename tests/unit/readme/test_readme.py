"""What the README shows, and the scorer it sends its reader to, works as shown; what it links to is there."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from epp.config import default_config, parse_config
from tests.conftest import ROOT

TEXT = (ROOT / "README.md").read_text()
BLOCKS = [(language, code) for language, code in re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)]
MAX_LINES = 150


def blocks(language: str) -> list[str]:
    """The code of every block in one language."""
    return [code for found, code in BLOCKS if found == language]


def test_it_is_short_enough_to_be_read() -> None:
    assert len(TEXT.splitlines()) <= MAX_LINES


def test_the_scorer_of_the_plugins_page_passes_the_test_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "docs/plugins.md").read_text().partition("## A scorer of your own")[2]
    plugin, test = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    module = ModuleType("my_plugins")
    monkeypatch.setitem(sys.modules, "my_plugins", module)
    exec(compile(plugin, "my_plugins.py", "exec"), module.__dict__)
    names: dict[str, object] = {}
    exec(compile(test, "test_my_plugins.py", "exec"), names)

    shown = names["test_it_prefers_its_zone"]

    assert callable(shown)
    shown()


def test_the_configuration_it_shows_is_the_one_in_force_without_any() -> None:
    (shown,) = blocks("yaml")

    assert parse_config(shown, "README.md") == default_config()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT)

    assert links
    assert [link for link in links if not link.startswith("http") and not Path(ROOT / link).exists()] == []


def test_every_target_it_names_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z%-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {name for name in re.findall(r"make ([a-z]+)\b", TEXT) if name != "and"} <= targets
