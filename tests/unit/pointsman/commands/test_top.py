"""The live table, without a terminal."""

from typing import Any

from pointsman.top.table import Screen, table

WIDE = Screen(200, 100, has_colours=False)


def endpoint(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "endpoint": "10.0.0.1:8000", "name": name, "standing": "good", "share": 1.0, "reason": "", "simulated": False,
        "metrics": {"active_adapters": ["code-assist"]}, "metrics_age": 0.25, "in_flight": 2, "others_in_flight": 0,
        "estimate": {"waiting": 3.0, "running": 4.2, "kv_usage": 0.5}, "index_blocks": 70, **changes,
    }  # fmt: skip


def pool(*endpoints: dict[str, Any]) -> dict[str, Any]:
    return {"pool": "default/p", "endpoints": list(endpoints)}


def test_a_pool_is_a_headline_and_a_row_for_each_endpoint() -> None:
    lines = table(
        [pool(endpoint("a"), endpoint("b", standing="resting", share=0.2, others_in_flight=1, metrics_age=None))],
        [{"pool": "default/p", "waiting": {"requests": 5}}],
        WIDE,
    )

    assert lines[0] == "default/p: 1 of 2 endpoints in good standing, 4 requests in flight, 5 waiting"
    assert lines[1].split() == [
        "ENDPOINT", "STANDING", "QUEUE", "RUNNING", "KV", "IN", "FLIGHT", "PREFIX", "BLOCKS", "AGE", "ADAPTERS",
    ]  # fmt: skip
    assert lines[2].split() == ["a", "good", "3", "4", "50%", "2", "70", "0.2", "s", "code-assist"]
    assert lines[3].split()[:3] == ["b", "resting", "20%"]
    assert "2 + 1" in lines[3]
    assert "never" in lines[3]


def test_an_endpoint_that_is_simulated_says_so_and_one_without_metrics_is_shown() -> None:
    lines = table([pool(endpoint("", simulated=True, metrics=None, in_flight=None))], [], WIDE)

    assert lines[2].startswith("10.0.0.1:8000 (simulated)")


def test_lines_fit_the_terminal_and_the_last_one_counts_the_others() -> None:
    lines = table(
        [pool(*(endpoint(f"server-{number}") for number in range(50)))], [], Screen(40, 10, has_colours=False)
    )

    assert len(lines) == 10
    assert max(map(len, lines)) <= 40
    assert lines[-1] == "… 44 more lines"


def test_colours_tell_standing_on_a_terminal_only() -> None:
    rows = [pool(endpoint("a"), endpoint("b", standing="resting", share=0.1), endpoint("c", standing="out", share=0.0))]

    painted = table(rows, [], Screen(200, 100, has_colours=True))

    assert [line[:5] for line in painted[2:5]] == ["\x1b[32m", "\x1b[33m", "\x1b[31m"]
    assert not any("\x1b" in line for line in table(rows, [], WIDE))


def test_a_picker_without_pools_is_said() -> None:
    assert table([], [], WIDE) == ["no pool is known"]
