from gateway.service import backoff


def test_each_failure_in_a_row_doubles_the_pause_up_to_the_longest() -> None:
    assert [backoff.pause(failures, 0.5, 3.0) for failures in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 3.0]


def test_failures_without_end_pause_as_the_longest() -> None:
    assert backoff.pause(10**6, 0.05, 1.0) == 1.0
