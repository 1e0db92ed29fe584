"""Rates and servers as the command line has them."""

import pytest

from lab.ranges import RangeError, Rates, rates, servers


@pytest.mark.parametrize(
    ("text", "values", "is_relative"),
    [
        ("1x", (1.0,), True),
        ("0.5x..2x", (0.5, 1.0, 2.0), True),
        ("10..40", (10.0, 20.0, 40.0), False),
        ("30,10, 20", (10.0, 20.0, 30.0), False),
        ("5..5", (5.0,), False),
    ],
)
def test_rates(text: str, values: tuple[float, ...], is_relative: bool) -> None:
    assert rates(text, 3) == Rates(values, is_relative)


@pytest.mark.parametrize("text", ["", "x", "1..", "..2", "2x..1x", "1x..2", "1..2..3", "0", "-1", "1e9", "nan", "1,x"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(RangeError, match=r"expected|all of it"):
        rates(text, 3)


@pytest.mark.parametrize(
    ("text", "values"), [("8", (8,)), ("4..12", (4, 8, 12)), ("1..2", (1, 2)), ("6,4", (4, 6)), ("4..5", (4, 5))]
)
def test_servers(text: str, values: tuple[int, ...]) -> None:
    assert servers(text, 3) == values


@pytest.mark.parametrize("text", ["", "0", "1.5", "5..4", "x", "99999", "1x"])
def test_what_is_no_number_of_servers(text: str) -> None:
    with pytest.raises(RangeError, match="expected"):
        servers(text, 3)
