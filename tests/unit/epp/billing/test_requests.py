"""What ended requests put on the bill."""

from epp.billing.requests import BilledRequests
from epp.billing.totals import Line, Totals
from epp.datalayer.placement import Placement
from epp.datalayer.producers.prefill import COST_NOTE, Cost
from epp.domain import Feedback, PickId, PoolId
from epp.picking.observer import NullObserver

NOON = 1_764_331_200.0
LINE = Line("2025-11-28", "acme", "target")


def placement(tenant: str = "acme") -> Placement:
    cost = {COST_NOTE: Cost(0.001, 0.01)}
    return Placement(
        PickId("p-1"), PoolId("d/p"), (), "model", "target", "", "", 0, 100, 32, 16, (), 0, None, 0.0, dict(cost),
        tenant=tenant,
    )  # fmt: skip


def billed(feedback: Feedback, where: Placement | None = None) -> dict[Line, Totals]:
    requests = BilledRequests(NullObserver(), lambda: NOON)
    requests.reported(feedback, where or placement())
    return dict(requests.sums.take())


def feedback(**fields: object) -> Feedback:
    return Feedback(PickId("p-1"), PoolId("d/p"), is_final=True, **fields)  # type: ignore[arg-type]


def test_tokens_are_those_of_the_answer_and_gpu_time_the_requests_share() -> None:
    found = billed(feedback(status=200, prompt_tokens=90, cached_tokens=40, completion_tokens=20, reasoning_tokens=5))

    assert found == {LINE: Totals(1, 0, 90, 40, 20, 5, round((50 * 0.001 + 20 * 0.01) * 1e6))}


def test_who_leaves_in_a_stream_pays_for_what_it_got() -> None:
    found = billed(feedback(status=200, response_bytes=2000, is_streamed=True, flags=("downstream_remote_reset",)))

    assert found[LINE] == Totals(1, 1, 100, 32, 10, 0, round((68 * 0.001 + 10 * 0.01) * 1e6))


def test_an_error_costs_nothing() -> None:
    for status in (400, 429, 500, 503):
        assert billed(feedback(status=status, response_bytes=90)) == {}


def test_a_request_of_nobody_has_a_line_without_a_name() -> None:
    (line,) = billed(feedback(status=200, prompt_tokens=1, completion_tokens=1), placement(""))

    assert line == LINE._replace(tenant="")


def test_a_request_that_was_served_where_nothing_is_measured_has_its_tokens() -> None:
    where = placement()
    where.notes.clear()

    assert billed(feedback(status=200, prompt_tokens=1, completion_tokens=1), where)[LINE] == Totals(1, 0, 1, 0, 1)
