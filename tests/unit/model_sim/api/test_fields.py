"""Lax reading, held against pydantic itself, which reads for vLLM."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from model_sim.api import fields
from model_sim.api.errors import ApiError

WORDS = (
    *(
        "true",
        "TRUE",
        " true",
        "yes",
        "on",
        "off",
        "t",
        "n",
        "0",
        "1",
        "2",
        "",
        "4",
        " 4 ",
        "4.0",
        "4.5",
        "1_000",
        "+4",
    ),
    *("-4", "1e3", "1E-3", "0x10", "４", "4.", ".5", "1__0", "_1", "1_", "007", "nan", "inf", "null", "1\n"),
)
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.from_regex(r" ?[+-]?[0-9]{0,3}(\.[0-9]{0,2})?([eE][+-]?[0-9])? ?", fullmatch=True),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from((0.0, 1.0, 0.5, 4.0)),
    st.just([]),
    st.just({}),
)


def pydantic(kind: type, value: Any) -> Any:
    try:
        read: Any = TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return "refused"
    return read if isfinite(read) else "refused"  # vLLM takes nan; nobody means it


def ours(read: Callable[..., Any], value: Any) -> Any:
    try:
        return read({"x": value}, "x")
    except ApiError as error:
        return "refused" if (error.status, error.param) == (400, "body.x") else error


@given(VALUES)
def test_a_switch_is_read_as_pydantic_reads_it(value: Any) -> None:
    assert ours(fields.flag, value) == pydantic(bool, value)


@given(VALUES)
def test_an_integer_is_read_as_pydantic_reads_it(value: Any) -> None:
    assert ours(fields.integer, value) == pydantic(int, value)


@given(VALUES)
def test_a_number_is_read_as_pydantic_reads_it(value: Any) -> None:
    assert ours(fields.number, value) == pydantic(float, value)


@pytest.mark.parametrize("read", [fields.flag, fields.integer, fields.number])
def test_null_counts_as_absent_and_a_long_text_is_refused_at_once(read: Any) -> None:
    assert not read({"x": None}, "x")
    assert ours(read, "9" * 1_000_000) == "refused"
