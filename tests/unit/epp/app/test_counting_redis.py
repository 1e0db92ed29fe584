"""Which Redis counts quotas and keeps the bill."""

import pytest

from epp.app.stack import Options, shared_counters
from epp.sharing.redis_client import read_address
from epp.telemetry.quotas import QuotaMetrics
from gateway.extproc.service import Listeners
from gateway.service.metrics import Registry


@pytest.mark.parametrize(
    ("url", "counts"),
    [("redis://h", True), ("redis+sentinel://h/main", True), ("unix:///r.sock", True), ("redis+cluster://h", False)],
)
async def test_a_cluster_shares_what_is_learned_and_counts_nothing(url: str, counts: bool) -> None:
    options = Options(Listeners("127.0.0.1", 0, 0), 0, "r", redis=read_address(url))

    assert (options.counting_redis is not None) == counts
    assert (shared_counters(options, QuotaMetrics(Registry())) is not None) == counts
