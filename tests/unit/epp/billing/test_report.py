"""The bill as people and programs read it, and what it costs."""

import json

import pytest

from epp.billing.report import Output, PriceError, priced, prices_of, rows, shown
from epp.billing.totals import Line, Totals, summed

BY = ("tenant", "model")
USED = [
    (Line("2026-11-27", "acme", "large"), Totals(2, 1, 1_000_000, 400_000, 500_000, 0, 7_200_000_000)),
    (Line("2026-11-28", "acme", "large"), Totals(1, 0, 0, 0, 500_000, 0, 0)),
    (Line("2026-11-28", "zoo, inc", "small"), Totals(1, 0, 10, 0, 20, 5, 1_234_567)),
]
PRICES = '{"large": {"input": 2, "cached": 0.5, "output": 8, "gpu_hour": 1}, "*": {"input": 100000}}'


def test_a_table_has_a_line_for_each_group() -> None:
    table = shown(rows(summed(USED, BY), BY), BY, Output.TABLE)

    assert table.splitlines() == [
        "tenant    model  requests  estimated   prompt  cached  completion  reasoning  gpu_seconds",
        "acme      large         3          1  1000000  400000     1000000          0       7200.0",
        "zoo, inc  small         1          0       10       0          20          5        1.235",
    ]


def test_csv_and_json_have_the_same() -> None:
    found = rows(summed(USED, ("tenant",)), ("tenant",))

    assert shown(found, ("tenant",), Output.CSV).splitlines()[2] == '"zoo, inc",1,0,10,0,20,5,1.235'
    assert json.loads(shown(found, ("tenant",), Output.JSON))[0]["completion"] == 1_000_000


def test_an_empty_bill_has_its_head() -> None:
    assert shown([], BY, Output.CSV).startswith("tenant,model,requests,")


def test_prices_are_for_tokens_by_kind_and_for_gpu_hours() -> None:
    found = priced(rows(summed(USED, BY), BY), ("tenant",), prices_of(PRICES))

    assert [(row["tenant"], row["cost"]) for row in found] == [
        ("acme", 0.6 * 2 + 0.4 * 0.5 + 1.0 * 8 + 2.0),
        ("zoo, inc", 1.0),
    ]
    assert "cost" in shown(found, ("tenant",), Output.CSV).splitlines()[0]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"m": 3}', '{"m": {"inputs": 1}}', '{"m": {"input": -1}}', '{"m": {"input": "1"}}']
)
def test_prices_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(PriceError):
        prices_of(text)
