"""What Envoy tells becomes questions, and verdicts become answers in the client's words."""

import json
from collections.abc import Callable

from gateway.quotas.estimates import Answer
from gateway.quotas.rules import Measure, Rule, Subject
from gateway.quotas.usage import Reserved
from gateway.quotas.verdicts import ADMITTED, UNKNOWN, Verdict, judged, standing
from gateway.quotas.windows import Window
from gateway.ratelimit.codec import Codec
from gateway.ratelimit.gate import QuotaGate
from gateway.ratelimit.messages import Decision, Descriptor
from gateway.wire import protocol, quotas

NOON = 1_764_331_200.0
RULE = Rule("r", "r", (), Measure.TOKENS, 100, Window(60.0), "r")
REQUESTS = Rule("q", "q", (), Measure.REQUESTS, 9, Window(3600.0), "q")


class Checks:
    def __init__(self, verdict: Verdict = ADMITTED) -> None:
        self.verdict = verdict
        self.asked: list[Subject] = []
        self.charged: list[tuple[Subject, Answer]] = []
        self.reserved: list[Reserved | None] = []

    def admit(self, subject: Subject, now: float, decided: Callable[[Verdict], None]) -> None:
        self.asked.append(subject)
        decided(self.verdict)

    def charge(self, subject: Subject, answer: Answer, now: float, reserved: Reserved | None = None) -> object:
        self.reserved.append(reserved)
        self.charged.append((subject, answer))
        return None


def decided(checks: Checks, *descriptors: Descriptor) -> Decision | None:
    found: list[Decision | None] = []
    QuotaGate(checks).decide(descriptors, NOON, found.append)
    (decision,) = found
    return decision


def admission(**entries: str) -> Descriptor:
    return Descriptor({quotas.PHASE: quotas.ADMISSION, "tenant": "acme", **entries}, 0)


def counted(name: str, hits: int) -> Descriptor:
    return Descriptor({quotas.COUNT: name}, hits)


def exhausted() -> Verdict:
    slot = RULE.window.slot(NOON)
    return judged([standing(RULE, [(slot - 19, 90), (slot, 20)], NOON), standing(REQUESTS, [], NOON)])


def test_a_request_is_asked_about_by_its_attributes_alone() -> None:
    checks = Checks()

    found = decided(checks, admission(**{quotas.PATH: "/v1/chat/completions"}))
    assert found == Decision(is_over_limit=False, subject='{"tenant":"acme"}')
    assert checks.asked == [{"tenant": "acme"}]


def test_a_refusal_has_the_shape_of_its_api_and_says_when_to_come_back() -> None:
    entries = {quotas.PATH: "/v1/messages?beta=true", quotas.REQUEST_ID: "id-1"}
    openai = decided(Checks(exhausted()), admission(**{quotas.PATH: "/v1/chat/completions"}))
    anthropic = decided(Checks(exhausted()), admission(**entries))

    assert openai is not None
    assert anthropic is not None
    assert (openai.is_over_limit, anthropic.is_over_limit) == (True, True)
    error = json.loads(openai.body)["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limited")
    assert "100 tokens per 60 s" in error["message"]
    assert json.loads(anthropic.body)["error"]["type"] == "rate_limit_error"
    assert json.loads(anthropic.body)["request_id"] == "id-1"
    headers = dict(openai.headers)
    assert 1 <= int(headers["retry-after"]) <= 6
    assert headers["content-type"] == "application/json"
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-remaining-tokens"]) == ("100", "0")
    assert headers["x-ratelimit-reset-tokens"] == "1m3s"
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("9", "0s")


def test_what_cannot_be_known_passes_or_is_no_answer_as_the_operator_chose() -> None:
    assert decided(Checks(UNKNOWN), admission(**{quotas.FAILURE_MODE: quotas.FAILS_CLOSED})) is None
    for mode in ({quotas.FAILURE_MODE: quotas.FAILS_OPEN}, {}):
        assert decided(Checks(UNKNOWN), admission(**mode)) == Decision(False, subject='{"tenant":"acme"}')


def test_who_was_admitted_is_charged_whatever_the_headers_say_at_the_end() -> None:
    checks = Checks()
    admitted = decided(checks, admission(**{"header:x": 'odd "value"'}))
    assert admitted is not None

    decided(checks, Descriptor({quotas.PHASE: quotas.END, quotas.SUBJECT: admitted.subject, "tenant": "other"}, 200))
    decided(checks, Descriptor({quotas.PHASE: quotas.END, quotas.SUBJECT: "{", "tenant": "other"}, 200))

    assert [subject for subject, _ in checks.charged] == [
        {"tenant": "acme", "header:x": 'odd "value"'},
        {"tenant": "other"},
    ]


def test_what_was_reserved_comes_back_at_the_end() -> None:
    reserved = Reserved(7, 5, NOON, "abc")
    checks = Checks(Verdict(reserved=reserved))
    admitted = decided(checks, admission())
    assert admitted is not None

    for subject in (admitted.subject, '{"tenant":"acme","reserved":[1,"2"]}', '{"tenant":"acme"}'):
        decided(checks, Descriptor({quotas.PHASE: quotas.END, quotas.SUBJECT: subject}, 200))

    assert checks.reserved == [reserved, None, None]
    assert [subject for subject, _ in checks.charged] == [{"tenant": "acme"}] * 3


def test_the_end_of_a_request_carries_what_it_used() -> None:
    checks = Checks()
    about = Descriptor({quotas.PHASE: quotas.END, "tenant": "acme"}, 200)

    decided(
        checks,
        about,
        counted(protocol.PROMPT_TOKENS, 7),
        counted(protocol.COMPLETION_TOKENS, 5),
        counted(protocol.CACHED_TOKENS, 4),
        counted(quotas.BYTES_SENT, 900),
        counted(quotas.BYTES_RECEIVED, 90),
        counted(quotas.ATTEMPTS, 2),
        counted(quotas.STREAMED, 1),
    )

    assert checks.charged == [({"tenant": "acme"}, Answer(200, 2, 90, 900, True, 7, 4, 5))]


def test_cached_tokens_beside_the_prompts_are_added_to_them() -> None:
    checks = Checks()
    counts = {protocol.PROMPT_TOKENS: 7, protocol.CACHE_READ_TOKENS: 100, protocol.CACHE_CREATION_TOKENS: 20}

    decided(checks, Descriptor({quotas.PHASE: quotas.END}, 200), *(counted(*item) for item in counts.items()))

    assert checks.charged[0][1].prompt == 127


def test_counts_that_no_server_can_mean_are_left_out() -> None:
    checks = Checks()

    decided(checks, Descriptor({quotas.PHASE: quotas.END}, 200), counted(protocol.COMPLETION_TOKENS, 2**60))

    assert checks.charged[0][1].completion is None


def test_a_call_about_nothing_charges_and_refuses_nobody() -> None:
    checks = Checks(exhausted())

    assert decided(checks) == Decision(is_over_limit=False)
    assert decided(checks, Descriptor({"other": "thing"}, 7)) == Decision(is_over_limit=False)
    assert (checks.asked, checks.charged) == ([], [])


def test_a_value_that_is_no_utf_8_is_read_nevertheless() -> None:
    codec = Codec()
    message = codec._request()
    entry = message.descriptors.add().entries.add()
    entry.key, entry.value = b"tenant", b"a\xff"

    assert codec.decode(message.SerializeToString()) == (Descriptor({"tenant": "a\ufffd"}),)
