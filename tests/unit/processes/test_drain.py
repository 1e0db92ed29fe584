"""What Envoy's statistics say about answers in flight."""

from processes.drain import in_flight

STATS = """http.admin.downstream_rq_active: 1
http.listener_80.downstream_rq_active: 3
http.listener_443.downstream_rq_active: 2
cluster.x.upstream_rq_time: P0(nan,1.0) P25(nan,1.05)
"""


def test_requests_of_all_listeners_count_and_the_admin_ports_own_do_not() -> None:
    assert in_flight(STATS) == 5


def test_an_idle_envoy_has_none_in_flight() -> None:
    assert in_flight("http.listener_80.downstream_rq_active: 0\n") == 0
    assert in_flight("") == 0
