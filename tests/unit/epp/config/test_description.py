"""docs/plugins.md begins with what `epp plugins` prints."""

from pathlib import Path

from epp.config.catalogue import KNOWN_UPSTREAM, PLUGINS
from epp.config.describe import describe_plugins

ROOT = Path(__file__).resolve().parents[4]


def test_the_page_is_current() -> None:
    printed = (ROOT / "docs/plugins.md").read_text().partition("<!--")[0]
    assert printed.strip() == describe_plugins().strip()


def test_every_type_stands_on_it_with_a_sentence() -> None:
    page = describe_plugins()
    for name, kind in PLUGINS.items():
        assert f"### {name}" in page
        assert (kind.plugin.__doc__ or "").splitlines()[0].endswith((".", "`"))
    for name in KNOWN_UPSTREAM:
        assert f"- `{name}`: " in page
