"""The bench's tables."""

from math import inf

from tests.lab import report
from tests.lab.measures import Record, measure, over_seeds
from tests.lab.report import Row

GOOD = over_seeds([measure([Record(0.0, 0, ttft, 0.01, 100, 50)], 0.0, 1.0, 1) for ttft in (0.1, 0.1)])
LOST = over_seeds([measure([Record(0.0, None, inf, inf, 100, 0)], 0.0, 1.0, 1)])
PAGE = f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n"


def test_a_published_page_has_new_tables_between_the_old_words() -> None:
    page = report.published(PAGE, {"chat": 10.0}, [Row("chat", 0.3, "default", GOOD)])
    assert page.startswith("Before.\n")
    assert page.endswith("After.\n")
    assert "old" not in page
    assert "| 30% | default | 100 ± 0 | 100 ± 0 | 100 ± 0 | 0.500 ± 0.000 | 1.0 ± 0.0 | 1.0 ± 0.0 |" in page
    assert report.published(page, {"chat": 10.0}, [Row("chat", 0.3, "default", GOOD)]) == page


def test_what_was_never_answered_is_a_dash_in_the_table_and_null_in_the_document() -> None:
    row = Row("chat", 1.2, "round-robin", LOST)
    assert report.cells(row)[1] == "–"
    found = report.document("p", 8, (1,), {"chat": 10.0}, [row])["rows"][0]["figures"]
    assert found["ttft_p90"] == {"mean": None, "deviation": None}
    assert found["goodput"]["mean"] == 0.0
