"""When requests wait before a pool, when they go, and what they get who may not."""

import pytest

from epp.config import default_config, parse_config
from epp.domain import EngineMetrics, Feedback, Pick
from epp.picking.admitting import RELEASES_LIMIT
from tests.unit.epp.admission.queues import IDS, POOL, SCRAPES, SLOTS, Client, Queues


def test_what_there_is_room_for_goes_at_once_and_the_rest_waits() -> None:
    queues = Queues()

    clients = [queues.send(1.0) for _ in range(11)]

    assert [len(client.picks) for client in clients] == [1] * 8 + [0] * 3
    assert not any(client.rejections for client in clients)


def test_an_end_lets_the_next_one_go_at_once() -> None:
    queues = Queues()
    first, *_ = queues.fill(1.0)
    waiting = queues.send(1.1)

    queues.end(first, 1.2)

    assert len(waiting.picks) == 1


def test_a_new_endpoint_takes_as_many_as_it_has_slots() -> None:
    queues = Queues(endpoints=3)
    clients = [queues.send(1.0) for _ in range(10)]

    queues.pool(4, 2.0)
    queues.scrape(2.0, running=2)

    assert [len(client.picks) for client in clients] == [1] * 8 + [0] * 2


def test_a_burst_into_an_idle_pool_waits_for_scrapes_to_show_that_it_runs() -> None:
    queues = Queues(SCRAPES)
    queues.scrape(0.95)

    clients = [queues.send(1.0) for _ in range(300)]
    assert sum(len(client.picks) for client in clients) == 20

    queues.scrape(1.05, running=5)
    assert sum(len(client.picks) for client in clients) == 40

    queues.scrape(1.1, waiting=5, running=5)
    assert sum(len(client.picks) for client in clients) == 40


def test_one_endpoint_with_a_long_queue_does_not_hold_up_the_others() -> None:
    queues = Queues(SCRAPES)
    queues.scrape(0.95)
    queues.picker.scraped(POOL, IDS[0], EngineMetrics(400, 8, 0.9), 0.96)

    clients = [queues.send(1.0) for _ in range(300)]

    picks = [client.picks[0] for client in clients if client.picks]
    assert len(picks) == 15
    assert IDS[0] not in {pick.targets[0] for pick in picks}


def test_what_the_pool_was_seen_to_run_goes_at_once_the_next_time() -> None:
    queues = Queues(SCRAPES)
    queues.scrape(0.5, running=50)
    queues.scrape(1.0, running=0)

    clients = [queues.send(1.0) for _ in range(300)]

    assert sum(len(client.picks) for client in clients) == 220


def test_the_more_important_request_goes_first_whenever_it_came() -> None:
    queues = Queues()
    first, second, *_ = queues.fill(1.0)
    batch, standard, interactive = (queues.send(1.1, name) for name in ("batch", "standard", "interactive"))

    queues.end(first, 1.2)
    queues.end(second, 1.2)

    assert [len(client.picks) for client in (interactive, standard, batch)] == [1, 1, 0]


def test_batch_leaves_room_that_is_held_back_for_others() -> None:
    holdback = "usageLimitPolicyPluginRef: priority-holdback-policy"
    bands = "priorityBands: [{priority: 1}, {priority: -1}]"
    policy = "{type: priority-holdback-policy, parameters: {minCeiling: 0.5}}, {type: queue-scorer}"
    text = SLOTS.replace("{type: queue-scorer}", policy) + f"  {holdback}\n  {bands}\n"
    queues = Queues(text)

    batch = [queues.send(1.0, "batch") for _ in range(8)]
    interactive = [queues.send(1.1, "interactive") for _ in range(8)]

    assert sum(len(client.picks) for client in batch) == 4
    assert sum(len(client.picks) for client in interactive) == 4


def test_more_than_may_wait_is_refused_with_the_time_that_the_queue_needs() -> None:
    bands = "  defaultPriorityBand: {maxRequests: 3}\n"
    queues = Queues(SLOTS + bands)
    picks = queues.fill(1.0)
    for number, pick in enumerate(picks):  # one leaves each second
        queues.end(pick, 2.0 + number)
        queues.send(2.0 + number)
    for _ in range(3):
        queues.send(10.0)

    (rejection,) = queues.send(10.0).rejections

    assert rejection.status == 429
    assert dict(rejection.headers())["x-llm-d-request-dropped-reason"] == "rejected-saturated"
    assert dict(rejection.headers())["retry-after"] in {"3", "4"}


def test_a_request_that_waited_for_its_ttl_is_refused() -> None:
    queues = Queues(SLOTS + "  defaultRequestTTL: 5s\n")
    queues.fill(1.0)
    waiting = queues.send(1.0)

    queues.picker.pass_time(5.9)
    assert not waiting.verdicts
    queues.picker.pass_time(6.0)

    (rejection,) = waiting.rejections
    assert rejection.status == 429
    assert dict(rejection.headers())["x-llm-d-request-dropped-reason"] == "rejected-ttl-expired"


def test_a_verdict_leaves_before_the_proxy_gives_up() -> None:
    queues = Queues()
    queues.fill(1.0)
    short, long = queues.send(1.0, longest_wait=10.0), queues.send(1.0)

    queues.picker.pass_time(9.0)

    assert [rejection.status for rejection in short.rejections] == [429]
    assert not long.verdicts


def test_a_request_waits_for_the_first_endpoint_of_an_empty_pool() -> None:
    queues = Queues(endpoints=0)
    waiting = queues.send(1.0)
    assert not waiting.verdicts

    queues.pool(1, 2.0)
    queues.scrape(2.0)

    assert len(waiting.picks) == 1


def test_a_pool_that_stays_empty_refuses_as_unavailable() -> None:
    queues = Queues(SLOTS + "  noEndpointRequestTTL: 3s\n", endpoints=0)
    waiting = queues.send(1.0)

    queues.picker.pass_time(4.1)

    (rejection,) = waiting.rejections
    assert rejection.status == 503
    assert dict(rejection.headers())["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"


def test_a_pool_without_endpoints_may_refuse_at_once() -> None:
    queues = Queues(SLOTS + "  noEndpointRequestTTL: 0s\n", endpoints=0)

    assert [rejection.status for rejection in queues.send(1.0).rejections] == [503]


def test_a_subset_without_any_endpoint_holds_nobody_up() -> None:
    queues = Queues()
    first, *_ = queues.fill(1.0)
    behind = queues.send(1.1)
    lost = queues.send(1.2, subset=("10.9.9.9:1",), objective="interactive")

    queues.end(first, 1.3)

    assert [rejection.status for rejection in lost.rejections] == [503]
    assert len(behind.picks) == 1


def test_a_client_that_leaves_takes_its_place_with_it() -> None:
    queues = Queues(SLOTS + "  maxRequests: 1\n")
    first, *_ = queues.fill(1.0)
    gone = queues.send(1.1)
    assert queues.send(1.2).rejections

    queues.cancel(gone, 1.3)
    stays = queues.send(1.4)
    queues.end(first, 1.5)

    assert not gone.verdicts
    assert len(stays.picks) == 1


def test_two_flows_take_turns_whatever_they_send() -> None:
    queues = Queues(SLOTS + "  defaultPriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}\n")
    picks = queues.fill(1.0)
    loud = [queues.send(1.1, flow="loud") for _ in range(10)]
    quiet = [queues.send(1.2, flow="quiet") for _ in range(2)]

    for pick in picks[:4]:
        queues.end(pick, 1.3)

    assert sum(len(client.picks) for client in quiet) == 2
    assert sum(len(client.picks) for client in loud) == 2


def test_the_tokens_of_answers_count_for_the_next_turn() -> None:
    queues = Queues(SLOTS + "  defaultPriorityBand: {fairnessPolicyRef: token-fairness-policy}\n")
    (talkative,) = queues.send(1.0, flow="talkative").picks
    picks = [pick for _ in range(7) for pick in queues.send(1.0, flow="brief").picks]
    waiting = {name: [queues.send(1.1, flow=name) for _ in range(3)] for name in ("talkative", "brief")}

    queues.picker.observe(Feedback(talkative.id, POOL, is_final=True, completion_tokens=5000), 1.2)
    for pick in picks[:2]:
        queues.end(pick.id, 1.3)

    assert sum(len(client.picks) for client in waiting["brief"]) == 3


def test_what_is_opposite_in_capacity_counts_bytes_and_tokens_too() -> None:
    queues = Queues(SLOTS + "  maxTokens: 100\n")
    queues.fill(1.0)

    assert not queues.send(1.1, text="short").verdicts
    assert [rejection.status for rejection in queues.send(1.1, text="long " * 400).rejections] == [429]


def test_a_request_that_may_not_wait_for_the_first_token_goes_first() -> None:
    queues = Queues(SLOTS + "  defaultPriorityBand: {orderingPolicyRef: slo-deadline-ordering-policy}\n")
    first, *_ = queues.fill(1.0)
    patient = queues.send(1.1)
    urgent = queues.send(1.2, headers={"x-llm-d-slo-ttft-ms": "500"})

    queues.end(first, 1.3)

    assert (len(urgent.picks), len(patient.picks)) == (1, 0)


def test_without_flow_control_in_an_edit_everything_that_waits_goes() -> None:
    queues = Queues()
    queues.fill(1.0)
    waiting = [queues.send(1.1) for _ in range(3)]

    queues.picker.reconfigure(default_config(), 2.0)

    assert all(len(client.picks) == 1 for client in waiting)


def test_what_waits_goes_on_waiting_under_another_configuration() -> None:
    queues = Queues()
    first, *_ = queues.fill(1.0)
    waiting = [queues.send(1.1) for _ in range(3)]

    queues.picker.reconfigure(parse_config(SLOTS + "  maxRequests: 1\n", "test"), 2.0)
    assert not any(client.verdicts for client in waiting)
    queues.end(first, 2.1)

    assert [len(client.picks) for client in waiting] == [1, 0, 0]


def test_what_waits_is_shown() -> None:
    queues = Queues()
    queues.fill(1.0)
    queues.send(1.0, "batch", flow="me", text="hello")

    (found,) = queues.picker.queues(3.0)

    assert found["saturation"] == {"effective": 1.0}
    assert found["waiting"] == {"requests": 1, "bytes": 33, "tokens": 1}
    assert found["oldest_seconds"] == 2.0
    assert found["flows"] == [
        {"fairness_id": "me", "priority": -1, "model": "m", "target_model": "m", "requests": 1, "bytes": 33}
    ]


class Resumed:
    """A process that has to be asked to go on."""

    def __init__(self) -> None:
        self.calls = 0
        self.began: list[str] = []

    def resume(self) -> None:
        self.calls += 1

    def begins_to_wait(self, pool: str) -> None:
        self.began.append(pool)

    def can_end(self, pick_id: str) -> bool:
        return False

    def end(self, pick_id: str, rejection: object, now: float) -> None:
        raise AssertionError(pick_id)


def test_a_queue_that_empties_at_once_is_emptied_in_pieces() -> None:
    shell = Resumed()
    queues = Queues(shell=shell)
    queues.fill(1.0)
    waiting = [queues.send(1.1) for _ in range(2 * RELEASES_LIMIT + 1)]

    queues.picker.reconfigure(default_config(), 2.0)
    assert sum(len(client.picks) for client in waiting) == RELEASES_LIMIT
    while shell.calls:
        shell.calls -= 1
        queues.picker.resume(2.0)

    assert all(len(client.picks) == 1 for client in waiting)


def test_metrics_are_wanted_when_the_first_request_begins_to_wait() -> None:
    shell = Resumed()
    queues = Queues(shell=shell)
    assert queues.picker.scrape_interval(POOL, IDS[0], 100.0) > 0.05
    queues.fill(100.0)
    queues.send(100.0)
    queues.send(100.0)

    assert shell.began == [POOL]
    assert queues.picker.scrape_interval(POOL, IDS[0], 100.0) == 0.05


@pytest.mark.parametrize("count", [1, 5])
def test_nobody_waits_while_the_pool_has_room(count: int) -> None:
    queues = Queues()
    client = Client()
    for _ in range(count):
        queues.send(1.0, client=client)

    assert all(isinstance(verdict, Pick) for verdict in client.verdicts)
    assert len(client.verdicts) == count
