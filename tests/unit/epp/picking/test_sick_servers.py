"""Servers that are sick, as the picker hears of it from scrapes and reports: who is avoided, and who comes back."""

from random import Random

import orjson
import pytest

from epp.config import default_config
from epp.datalayer.report import BREAKS, UNREACHED
from epp.datalayer.standing.endpoint import FIRST_EJECTION_SECONDS, LONGEST_EJECTION_SECONDS
from epp.datalayer.standing.signals import IN_A_ROW, Signal
from epp.domain import EndpointId, Feedback, Outcome, Pick, Request, ScrapeFault
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from tests.unit.epp.picking.driven import IDS, POOL, ask, endpoints, final, picker, scrape, spec

BAD, OTHER = IDS[0], IDS[1]
CLIENT_LEFT = ("downstream_connection_termination",)


def standing(made: Picker, now: float = 1.0, endpoint: EndpointId = BAD) -> object:
    return endpoints(made, now)[endpoint]["standing"]


def serve(made: Picker, count: int, now: float, **bad: object) -> list[EndpointId]:
    """So many different requests; those at the bad endpoint end as said. The endpoints they went to."""
    went = []
    for number in range(count):
        pick = ask(made, f"{number}-{now}-" * 1000, now)
        made.settle(pick.id, Outcome.ENDED, now)
        made.observe(final(pick, **bad) if pick.targets[0] == BAD else final(pick), now)
        went.append(pick.targets[0])
    return went


def is_picked(made: Picker, now: float, count: int = 40) -> bool:
    return BAD in [ask(made, f"{number}z{now}" * 1000, now).targets[0] for number in range(count)]


@pytest.mark.parametrize(
    "ends",
    [
        {"served": OTHER, "attempts": 2},
        {"status": 500},
        {"status": 502, "ttft_seconds": 0.001},
        {"status": 504, "flags": ("upstream_request_timeout",), "ttft_seconds": None},
        {"status": 502, "flags": ("upstream_protocol_error",), "ttft_seconds": None},
        {"status": 200, "flags": ("upstream_remote_reset",)},
        {"status": None, "flags": CLIENT_LEFT, "ttft_seconds": None, "duration_seconds": 60.0},
        *({"status": 503, "flags": (flag,), "ttft_seconds": None, "served": None} for flag in sorted(UNREACHED)),
        *({"status": 503, "flags": (flag,), "ttft_seconds": None} for flag in sorted(BREAKS)),
    ],
    ids=str,
)  # fmt: skip
def test_a_server_whose_requests_end_badly_is_avoided_and_named_with_the_reason(ends: dict[str, object]) -> None:
    made = picker()

    went = serve(made, 300, 1.0, **ends)

    assert standing(made) == "ejected"
    assert endpoints(made)[BAD]["reason"]
    assert 3 <= went.count(BAD) <= 5
    assert not is_picked(made, 1.1)
    (decision,) = made.decisions.latest(1)
    assert decision["avoided"] == {BAD: f"ejected: {endpoints(made)[BAD]['reason']}"}


@pytest.mark.parametrize(
    "ends",
    [
        {"status": 400},
        {"status": 404},
        {"status": 204, "ttft_seconds": None},
        {"status": 200, "flags": CLIENT_LEFT},
        {"status": None, "flags": CLIENT_LEFT, "ttft_seconds": None},
        {"status": 501},
    ],
    ids=str,
)
def test_what_clients_do_speaks_against_no_server(ends: dict[str, object]) -> None:
    made = picker()
    serve(made, 40, 1.0, **ends)
    assert (standing(made), endpoints(made)[BAD]["share"]) == ("good", 1.0)


def test_a_client_whose_requests_fail_everywhere_ejects_nobody() -> None:
    made = picker()
    for number in range(60):
        pick = ask(made, f"{number}y" * 1000, 1.0 + number / 10)
        made.settle(pick.id, Outcome.ENDED, 1.0 + number / 10)
        made.observe(final(pick, status=500), 1.0 + number / 10)
    assert {each["standing"] for each in endpoints(made, 7.0).values()} == {"good"}


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_refuses_for_load_rests_and_is_not_avoided_for_longer(status: int) -> None:
    made = picker()
    went = serve(made, 60, 1.0, status=status)
    assert standing(made) == "good"
    assert endpoints(made)[BAD]["share"] == 0.1
    assert went.count(BAD) < 12
    assert endpoints(made, 7.0)[BAD]["share"] == 1.0


def test_every_endpoint_of_the_list_that_was_passed_over_is_judged() -> None:
    made = picker()
    pick = ask(made, "passed over " * 500, fallbacks=2)
    made.settle(pick.id, Outcome.ENDED, 1.0)
    made.observe(final(pick, served=pick.targets[2], attempts=3), 1.0)
    shares = {id_: float(str(each["share"])) for id_, each in endpoints(made).items()}
    assert [shares[each] < 1.0 for each in pick.targets] == [True, True, False]


def test_a_conversation_leaves_the_server_that_failed_it() -> None:
    made = picker()
    text = "long conversation " * 200
    first = ask(made, text)
    made.settle(first.id, Outcome.ENDED, 1.0)
    made.observe(final(first), 1.0)
    again = ask(made, text, 1.1)
    assert again.targets[0] == first.targets[0]
    made.settle(again.id, Outcome.ENDED, 1.2)
    made.observe(final(again, status=500), 1.2)
    assert endpoints(made, 1.2)[first.targets[0]]["index_blocks"] == 0


def test_a_client_that_leaves_early_takes_only_its_own_part_along() -> None:
    made = picker()
    text = "long conversation " * 200
    first = ask(made, text)
    made.settle(first.id, Outcome.ENDED, 1.0)
    made.observe(final(first), 1.0)
    held = endpoints(made)[first.targets[0]]["index_blocks"]
    again = ask(made, text + "more " * 200, 1.1)
    made.settle(again.id, Outcome.ENDED, 1.2)
    left = {"status": None, "flags": CLIENT_LEFT, "ttft_seconds": None}
    made.observe(final(again, **left), 1.2)
    assert endpoints(made, 1.2)[first.targets[0]]["index_blocks"] == held


def answered(made: Picker, count: int, now: float) -> None:
    for number in range(count):
        pick = ask(made, f"{number}w{now}" * 100, now)
        made.settle(pick.id, Outcome.ENDED, now)
        made.observe(final(pick, ttft_seconds=0.1, duration_seconds=1.0), now)


def hanging(made: Picker, now: float) -> list[Pick]:
    """Requests that wait at the bad endpoint; all others are answered."""
    waiting: list[Pick] = []
    while len(waiting) < 5:
        pick = ask(made, f"{len(waiting)}h{now}" * 1000 + str(Random(len(waiting)).random()), now)
        if pick.targets[0] == BAD:
            waiting.append(pick)
        else:
            made.settle(pick.id, Outcome.ENDED, now)
            made.observe(final(pick), now)
    return waiting


def test_requests_that_get_no_first_byte_count_while_they_are_open() -> None:
    made = picker()
    answered(made, 30, 1.0)
    waiting = hanging(made, 2.0)
    for pick in waiting:
        assert standing(made, 12.0) == "good"
        made.observe(Feedback(pick.id, POOL, False), 12.0)
    assert standing(made, 12.0) == "ejected"
    assert str(endpoints(made, 12.0)[BAD]["reason"]).startswith("requests get no first byte")


def test_requests_whose_answer_has_begun_may_last() -> None:
    made = picker()
    answered(made, 30, 1.0)
    for pick in hanging(made, 2.0):
        made.observe(Feedback(pick.id, POOL, False, ttft_seconds=0.2), 12.0)
    for second in range(13, 200):
        made.pass_time(float(second))
    assert standing(made, 200.0) == "good"


def test_without_heartbeats_requests_count_once_they_last_far_longer_than_whole_answers() -> None:
    made = picker()
    answered(made, 30, 1.0)
    hanging(made, 2.0)
    made.pass_time(16.0)
    assert standing(made, 16.0) == "good"
    made.pass_time(18.0)
    assert standing(made, 18.0) == "ejected"


def paced(made: Picker, seconds_per_token: float, now: float, *, is_final: bool) -> None:
    """Answers of a hundred tokens, at this pace at the bad endpoint and at 20 ms at the others."""
    for number in range(40):
        pick = ask(made, f"{number}d{now}" * 1000, now)
        pace = seconds_per_token if pick.targets[0] == BAD else 0.02
        if is_final or pick.targets[0] != BAD:
            made.settle(pick.id, Outcome.ENDED, now)
            told = final(pick, ttft_seconds=0.1, duration_seconds=0.1 + 100 * pace, response_bytes=25_000)
        else:
            told = Feedback(pick.id, POOL, False, ttft_seconds=0.1, duration_seconds=10.0,
                            response_bytes=int(9.9 / pace) * 250)  # fmt: skip
        made.observe(told, now)


@pytest.mark.parametrize("is_final", [True, False])
def test_a_server_whose_tokens_come_far_slower_than_elsewhere_is_avoided(is_final: bool) -> None:
    made = picker()
    paced(made, 0.02, 1.0, is_final=True)
    for step in range(5):
        paced(made, 1.0, 2.0 + step / 2, is_final=is_final)
    assert standing(made, 4.0) == "ejected"
    assert endpoints(made, 4.0)[BAD]["reason"] == "answers come far slower than elsewhere"


def test_a_server_at_half_speed_is_not_avoided() -> None:
    made = picker()
    for step in range(10):
        paced(made, 0.04, 1.0 + step, is_final=True)
    assert (standing(made, 11.0), endpoints(made, 11.0)[BAD]["share"]) == ("good", 1.0)


def test_failures_of_requests_sent_before_an_ejection_do_not_count_after_the_return() -> None:
    made = picker()
    answered(made, 30, 1.0)
    late = hanging(made, 1.5)
    serve(made, 300, 2.0, status=500)
    for step in range(80):
        serve(made, 2, 6.0 + step / 4)
        made.pass_time(6.0 + step / 4)
    assert standing(made, 26.0) == "good"
    for pick in late:
        made.settle(pick.id, Outcome.ENDED, 26.0)
        made.observe(final(pick, status=500), 26.0)
    assert (standing(made, 26.0), endpoints(made, 26.0)[BAD]["share"]) == ("good", 1.0)


def test_while_all_wait_alike_nobody_is_ejected() -> None:
    made = picker()
    answered(made, 30, 1.0)
    waiting = [ask(made, f"{number}a" * 1000, 2.0) for number in range(30)]
    for pick in waiting:
        made.observe(Feedback(pick.id, POOL, False), 12.0)
    assert {each["standing"] for each in endpoints(made, 12.0).values()} == {"good"}


def test_an_ejected_server_is_tried_by_one_request_at_a_time_and_comes_back_by_shares() -> None:
    made = picker()
    serve(made, 300, 1.0, status=500)
    now = 1.0 + FIRST_EJECTION_SECONDS
    went = serve(made, 10, now)
    assert went.index(BAD) == 0
    assert went.count(BAD) == 1
    assert serve(made, 10, now + 1.5).count(BAD) == 1
    made.pass_time(now + 1.6)
    assert standing(made, now + 1.6) == "returning"
    assert 0.0 < float(str(endpoints(made, now + 1.6)[BAD]["share"])) < 0.2
    made.pass_time(now + 20.0)
    assert standing(made, now + 20.0) == "good"


def test_a_probe_has_the_other_endpoints_behind_it() -> None:
    made = picker()
    serve(made, 300, 1.0, status=500)
    pick = ask(made, "probe " * 500, 1.0 + FIRST_EJECTION_SECONDS, fallbacks=2)
    assert pick.targets[0] == BAD
    assert sorted(pick.targets) == sorted(IDS)


def test_a_request_that_builds_on_what_a_server_has_stored_is_no_probe() -> None:
    made = picker()
    serve(made, 300, 1.0, status=500)
    now = 1.0 + FIRST_EJECTION_SECONDS
    for number in range(20):
        body = orjson.dumps({"model": "m", "input": f"{number}", "previous_response_id": "resp_1"})
        pick = made.submit(Request(POOL, "POST", "/v1/responses", {}, body), NOBODY, now)
        assert isinstance(pick, Pick)
        assert pick.targets[0] != BAD


def test_a_server_that_still_fails_gets_one_request_in_each_ejection() -> None:
    made = picker()
    went = []
    for step in range(600):
        went += serve(made, 2, 1.0 + step / 10, status=500)
        made.pass_time(1.0 + step / 10)
    assert went.count(BAD) <= 3 + 1 + 60 / FIRST_EJECTION_SECONDS
    assert LONGEST_EJECTION_SECONDS < 30.0


def test_a_refused_scrape_ejects_and_an_answered_one_ends_it() -> None:
    made = picker()
    for _ in range(2):
        made.scraped(POOL, BAD, ScrapeFault.REFUSED, 1.0)
    assert not is_picked(made, 1.1)
    assert not is_picked(made, 600.0)
    scrape(made, 601.0)
    assert is_picked(made, 601.1)


def test_slow_or_odd_scrapes_do_not_eject() -> None:
    made = picker(endpoints=1)
    for fault in (ScrapeFault.MALFORMED, ScrapeFault.STATUS, ScrapeFault.TOO_LARGE) * 5:
        made.scraped(POOL, BAD, fault, 1.0)
    for number in range(5):
        for _ in range(IN_A_ROW[Signal.MUTE] - 1):
            made.scraped(POOL, BAD, ScrapeFault.TIMEOUT, 1.0)
        pick = ask(made, str(number) * 4000)
        made.settle(pick.id, Outcome.ENDED, 1.0)
        made.observe(final(pick), 1.0)
    assert standing(made) == "good"


def test_a_server_that_hangs_is_avoided_until_it_answers_a_scrape() -> None:
    made = picker()
    for _ in range(IN_A_ROW[Signal.MUTE]):
        made.scraped(POOL, BAD, ScrapeFault.TIMEOUT, 1.0)
    assert standing(made) == "ejected"
    assert not is_picked(made, 1.1)
    scrape(made, 6.0)
    made.pass_time(6.0)
    assert standing(made, 6.0) == "probing"


def test_a_server_that_only_is_slow_with_its_metrics_is_back_by_its_answers() -> None:
    made = picker()
    for _ in range(IN_A_ROW[Signal.MUTE]):
        made.scraped(POOL, BAD, ScrapeFault.TIMEOUT, 1.0)
    for step in range(400):
        serve(made, 2, 1.0 + step / 5)
        made.pass_time(1.0 + step / 5)
        if step % 5 == 0:
            made.scraped(POOL, BAD, ScrapeFault.TIMEOUT, 1.0 + step / 5)
    assert standing(made, 81.0) == "good"


def test_when_all_are_ejected_one_is_picked_all_the_same() -> None:
    made = picker()
    for id_ in IDS:
        for _ in range(2):
            made.scraped(POOL, id_, ScrapeFault.REFUSED, 1.0)
    assert ask(made, now=1.1).targets


def test_an_endpoint_without_metrics_is_picked_only_when_nothing_better_exists() -> None:
    made = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver())
    made.replace_pools({POOL: spec()}, 0.0)
    assert ask(made, now=0.1).targets[0] in IDS
    scrape(made, 0.2, only=IDS[2])
    assert {ask(made, f"{number}q" * 4000, 0.3).targets[0] for number in range(30)} == {IDS[2]}


def test_an_avoided_server_stands_behind_the_others_in_the_list_that_the_proxy_walks() -> None:
    made = picker(endpoints=2)
    serve(made, 300, 1.0, status=500)
    assert standing(made) == "ejected"

    assert ask(made, "one", 1.0, fallbacks=1).targets == (OTHER, BAD)
    assert ask(made, "two", 1.0, fallbacks=0).targets == (OTHER,)
