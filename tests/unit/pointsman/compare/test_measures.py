"""Both halves as figures, from lines of Envoy's log."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pointsman.compare.log import Measuring, Tail
from pointsman.compare.measures import Comparison, Half, Served, compared, served
from pointsman.compare.table import lines, verdict
from pointsman.upkeep import bound
from tests.unit.pointsman.cluster.reading import documents_in
from tests.unit.pointsman.compare.test_halves import ROUTE

PICKER, TWIN = "pool_default_p", "pool_default_p-round-robin"


def line(cluster: str = PICKER, second: int = 0, **other: Any) -> str:
    usage = {"prompt_tokens": 100, "cached_tokens": other.pop("cached", 50)}
    return json.dumps({
        "start_time": f"2026-01-01T00:00:{second:02}.000Z", "route": "default/r/0/0", "upstream_cluster": cluster,
        "upstream": "10.0.0.1:80", "status": 200, "ttft_ms": 20, "usage": usage, **other,
    })  # fmt: skip


def half(times: Sequence[float], **other: Any) -> Half:
    found = Half()
    for number, time in enumerate(times):
        found.add(Served("", "", "", f"10.0.0.{number % 2}:80", 200, time, 100, 25, **other))
    return found


def measuring(log: Path) -> Measuring:
    (route,) = documents_in(ROUTE)
    return Measuring(Tail(log), route)


def test_a_half_has_quantiles_a_hit_ratio_and_its_busiest_server() -> None:
    found = half(range(1, 101)).figures({"10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"})

    assert (found.requests, found.ttft_p50, found.ttft_p90, found.ttft_p99) == (100, 50, 90, 99)
    assert (found.hit_ratio, found.busiest) == (0.25, 1.5)
    assert found.servers == {"10.0.0.0:80": 50, "10.0.0.1:80": 50, "10.0.0.2:80": 0}


def test_an_error_counts_and_has_no_time() -> None:
    found = Half()
    found.add(Served("", "", "", None, 503, 1.0, None, None))

    figures = found.figures(())

    assert (figures.requests, figures.errors, figures.ttft_p50, figures.hit_ratio, figures.busiest) == (1, 1) + (
        None,
    ) * 3


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (range(29), range(100), "too few answers"),
        (range(100), range(100), "no more than noise"),
        (range(100, 200), range(100), "100 ± 8 ms earlier"),
        (range(100), range(100, 200), "100 ± 8 ms later"),
    ],
)
def test_the_verdict_says_what_is_sure(before: range, after: range, words: str) -> None:
    found = compared(half(before), half(after))

    assert words in verdict(found)
    assert len({len(each) for each in lines(found)[:3]}) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"route": 1}', line(status="many")])
def test_what_is_no_line_of_the_log_is_left_out(text: str) -> None:
    assert served(text) is None


def test_only_the_routes_own_requests_count_from_the_first_by_round_robin_on(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line(second=0) + "\n")
    found = measuring(log)
    others = [
        line(second=1),
        line(TWIN, second=2),
        line(second=1),
        line(second=3),
        line(second=4, route="default/other/0/0"),
        line("none", second=5),
        line(TWIN, second=5, cached=None),
        "no JSON",
    ]
    with log.open("a") as file:
        file.write("\n".join([*others, line(second=6)[:30]]))

    first = found.look()
    with log.open("a") as file:
        file.write(line(second=6)[30:] + "\n")
    second = found.look()

    assert counts(first) == (2, 1)
    assert counts(second) == (2, 2)
    assert first.round_robin.hit_ratio == 0.5


def test_a_pool_that_the_route_gets_later_counts_from_then_on(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("")
    found = measuring(log)
    (edited,) = documents_in(ROUTE.replace("name: p, weight: 3", "name: q"))
    found.follow(edited)
    log.write_text("\n".join([line(TWIN), line(), line("pool_default_q"), line("pool_default_q-round-robin"), ""]))

    assert counts(found.look()) == (2, 2)


def test_a_log_that_was_begun_anew_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text((line() + "\n") * 3)
    found = measuring(log)
    bound(log, 10_000)
    assert log.stat().st_size

    bound(log, 100)
    assert log.stat().st_size == 0
    log.write_text(line(TWIN) + "\n")

    assert counts(found.look()) == (1, 0)
    log.unlink()
    bound(log, 100)


def counts(found: Comparison) -> tuple[int, int]:
    return found.round_robin.requests, found.picker.requests
