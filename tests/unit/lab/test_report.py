"""The bench's tables."""

from math import inf

from lab.simulation.measures import Measures, Record, measure
from tests.lab import report
from tests.lab.report import Row


def run(ttft: float, *, endpoint: int | None = 0) -> Measures:
    return measure([Record(0.0, endpoint, ttft, 0.01, 100, 50 if endpoint is not None else 0)], 0.0, 1.0, 1)


GOOD = (run(0.1), run(0.1))
LOST = (run(inf, endpoint=None),)
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


def test_margins_are_against_the_best_of_the_others_and_count_the_seeds_won_and_tied() -> None:
    rows = [
        Row("chat", 0.6, "round-robin", (run(0.4), run(0.4))),
        Row("chat", 0.6, "seed 2/2/3", (run(0.2), run(0.3))),
        Row("chat", 0.6, "default", (run(0.1), run(0.3))),
    ]
    assert report.margins(rows)[-1] == "| chat 60% | −20.00 % (1/1) | 0 % (0/2) | 0 % (0/2) |"
    assert report.margins(rows)[-1] in report.tables({"chat": 10.0}, rows)


def test_a_margin_over_policies_that_lost_every_request_is_all_of_it() -> None:
    rows = [Row("chat", 1.1, "round-robin", LOST), Row("chat", 1.1, "default", (run(0.1),))]
    assert "−100.00 % (1/0)" in report.margins(rows)[-1]
