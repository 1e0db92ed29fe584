"""Which answers are read for usage, as far as the control plane decides it. (Envoy's part is a contract test.)"""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.xds.resources import usage
from gateway.wire import protocol


@given(st.integers(1, 2**40), st.integers(0, 2**40))
def test_a_length_that_is_read_fits_the_buffer_and_stays_below_ten_megabytes(limit: int, length: int) -> None:
    if re.fullmatch(usage.safe_length(limit), str(length)):
        assert length <= limit
        assert length < 10_000_000


@pytest.mark.parametrize(
    ("limit", "longest"), [(protocol.BODY_LIMIT_BYTES, 9_999_999), (1_000_000, 999_999), (999_999, 99_999), (10, 9)]
)
def test_the_longest_answer_that_is_read(limit: int, longest: int) -> None:
    read = re.compile(usage.safe_length(limit))

    assert read.fullmatch(str(longest))
    assert not read.fullmatch(str(longest + 1))


def test_no_length_is_safe_for_a_buffer_of_less_than_ten_bytes() -> None:
    assert not any(re.fullmatch(usage.safe_length(9), str(length)) for length in range(100))
