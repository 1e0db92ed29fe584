"""Durations and quantities are read in their own notation, and nothing else is."""

import pytest

from gateway.schema.units import duration, gateway_duration, quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("1m30s", 90.0), ("500ms", 0.5), ("1.5h", 5400.0), ("0", 0.0), ("7us", 7e-6), ("3µs", 3e-6)],
)
def test_a_duration_is_read_as_go_writes_it(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "1s30", "1d", "soon"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("1h1m1s1ms", 3661.001), ("99999h", 359_996_400.0), ("1.5s", None), ("0", None), ("1us", None),
     ("123456s", None), ("1s1s1s1s1s", None)],
)  # fmt: skip
def test_the_gateway_api_takes_a_part_of_it(text: str, seconds: float | None) -> None:
    assert gateway_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "number"),
    [("100", 100), ("1k", 1000), ("1Ki", 1024), ("1.5Gi", 1_610_612_736), ("1e3", 1000), ("500m", 0), ("2000m", 2),
     ("", None), ("1 k", None), ("1K", None), ("many", None)],
)  # fmt: skip
def test_a_quantity_is_read_as_kubernetes_writes_it(text: str, number: int | None) -> None:
    assert quantity(text) == number
