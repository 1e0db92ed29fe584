"""Envoy's figures as the page shows them."""

from typing import Any

from controlplane.page.traffic import ENDPOINTS_SHOWN, INTERVAL_SECONDS, Traffic, figures

STATISTICS = {
    "cluster.pool_default_a.upstream_rq_total": 7,
    "cluster.pool_default_a.upstream_rq_5xx": 2,
    "cluster.pool_default_b.c.upstream_rq_total": 3,
    "http.listener_80.downstream_rq_total": 10,
    "http.listener_443.downstream_rq_total": 5,
    "http.listener_80.downstream_rq_5xx": 2,
}


def clusters(errors: dict[str, int]) -> Any:
    hosts = [
        {
            "address": {"socket_address": {"address": address, "port_value": 8000}},
            "stats": [{"name": "rq_error", "value": str(count)}, {"name": "rq_total", "value": "9"}, {"name": "rq_x"}],
        }
        for address, count in errors.items()
    ]
    return {"cluster_statuses": [{"name": "pool_default_a", "host_statuses": hosts}, {"name": "bbr"}]}


def test_figures_are_by_cluster_and_those_of_clients_are_added_up() -> None:
    found = figures(STATISTICS, None)

    assert found == {
        "known": True,
        "clusters": {"pool_default_a": {"total": 7, "5xx": 2}, "pool_default_b.c": {"total": 3}},
        "clients": {"total": 15, "5xx": 2},
        "endpoints": [],
    }


def test_endpoints_that_fail_most_come_first_and_those_that_do_not_are_left_out() -> None:
    found = figures({}, clusters({"10.0.0.1": 1, "10.0.0.2": 0, "10.0.0.3": 5}))

    assert [(each["endpoint"], each["errors"], each["requests"]) for each in found["endpoints"]] == [
        ("10.0.0.3:8000", 5, 9), ("10.0.0.1:8000", 1, 9),
    ]  # fmt: skip
    many = figures({}, clusters({f"10.0.{number}.1": 1 for number in range(200)}))
    assert len(many["endpoints"]) == ENDPOINTS_SHOWN


class Counting:
    """An Envoy that counts how often it is asked, and answers so long as it is up."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_up = True

    async def statistics(self, _pattern: str, /) -> dict[str, int] | None:
        self.asked += 1
        return dict(STATISTICS) if self.is_up else None

    async def clusters(self) -> Any:
        return None


async def test_envoy_is_asked_once_for_each_interval_however_many_pages_are_open() -> None:
    envoy, now = Counting(), [0.0]
    traffic = Traffic(envoy, lambda: now[0])

    for _ in range(5):
        assert (await traffic.latest())["known"]
    assert envoy.asked == 1

    envoy.is_up = False
    now[0] += INTERVAL_SECONDS
    assert not (await traffic.latest())["known"]
    assert envoy.asked == 2


async def test_without_an_envoy_to_ask_nothing_is_known() -> None:
    assert not (await Traffic(None, lambda: 0.0).latest())["known"]
