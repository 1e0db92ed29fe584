"""What Envoy tells of a request becomes a question to the quotas, and their verdict an answer for the client. Pure.

Whoever was admitted is charged, whatever has become of the headers. Where quotas cannot be counted the request
passes, or the call fails and Envoy refuses it, as the operator chose.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import orjson

from gateway.quotas.estimates import Answer
from gateway.quotas.rules import Subject
from gateway.quotas.usage import Reserved
from gateway.quotas.verdicts import Standing, Verdict, limits, whole_seconds
from gateway.ratelimit.messages import WITHIN_LIMITS, Decision, Descriptor
from gateway.wire import protocol, quotas
from gateway.wire.refusals import quota_used_up
from gateway.wire.usage import whole_prompt

COUNT_LIMIT: Final = 10**9  # tokens; more is a broken model server's
_NOT_ATTRIBUTES: Final = (quotas.PHASE, quotas.PATH, quotas.REQUEST_ID, quotas.SUBJECT, quotas.FAILURE_MODE)

Decided = Callable[[Decision | None], None]  # None: it cannot be known


class Checks(Protocol):
    """What a gate asks: `gateway.quotas.quotas.Quotas`."""

    def admit(self, subject: Subject, now: float, decided: Callable[[Verdict], None]) -> None:
        """Say whether a request may pass."""

    def charge(self, subject: Subject, answer: Answer, now: float, reserved: Reserved | None = None) -> object:
        """Count what an answer used, in the place of what was reserved for it."""


class QuotaGate:
    def __init__(self, checks: Checks) -> None:
        self._checks = checks

    def decide(self, descriptors: Sequence[Descriptor], now: float, decided: Decided) -> None:
        """Check a request, or charge its answer; `decided` is called once, now or later."""
        about = descriptors[0] if descriptors else Descriptor({})
        phase = about.entries.get(quotas.PHASE)
        subject, reserved = _admitted(about.entries)
        if phase == quotas.ADMISSION:
            self._checks.admit(subject, now, lambda verdict: decided(_decision(verdict, subject, about.entries)))
            return
        if phase == quotas.END:
            self._checks.charge(subject, _answer(about, descriptors[1:]), now, reserved)
        decided(WITHIN_LIMITS)


def _admitted(entries: Mapping[str, str]) -> tuple[Subject, Reserved | None]:
    """Who was admitted, and what was reserved then; before that, and where nobody was asked then, who asks by the
    headers of now."""
    try:
        admitted = orjson.loads(entries.get(quotas.SUBJECT, "null"))
    except orjson.JSONDecodeError:
        admitted = None
    if not isinstance(admitted, dict):
        return {key: value for key, value in entries.items() if key not in _NOT_ATTRIBUTES}, None
    subject = {key: value for key, value in admitted.items() if isinstance(value, str)}
    match admitted.get(quotas.RESERVED):
        case [int(prompt), int(completion), int() | float() as at, str(rules)]:
            return subject, Reserved(prompt, completion, at, rules)
    return subject, None


def _kept(subject: Subject, reserved: Reserved | None) -> str:
    """What Envoy is to say at the end of a request: no attribute of it is a list."""
    return orjson.dumps(subject if reserved is None else {**subject, quotas.RESERVED: list(reserved)}).decode()


def _answer(about: Descriptor, counted: Sequence[Descriptor]) -> Answer:
    counts = {
        name: each.hits
        for each in counted
        if each.hits is not None and each.hits < COUNT_LIMIT and (name := each.entries.get(quotas.COUNT)) is not None
    }
    read, created = counts.get(protocol.CACHE_READ_TOKENS), counts.get(protocol.CACHE_CREATION_TOKENS)
    prompt = whole_prompt(counts.get(protocol.PROMPT_TOKENS), read, created)
    return Answer(
        status=about.hits or 0,
        attempts=counts.get(quotas.ATTEMPTS, 0),
        bytes_received=counts.get(quotas.BYTES_RECEIVED, 0),
        bytes_sent=counts.get(quotas.BYTES_SENT, 0),
        is_streamed=quotas.STREAMED in counts,
        prompt=prompt,
        cached=counts.get(protocol.CACHED_TOKENS),
        completion=counts.get(protocol.COMPLETION_TOKENS),
        reasoning=counts.get(protocol.REASONING_TOKENS),
    )


def _decision(verdict: Verdict, subject: Subject, request: Mapping[str, str]) -> Decision | None:
    if not verdict.is_known and request.get(quotas.FAILURE_MODE) == quotas.FAILS_CLOSED:
        return None
    shown = tuple(
        pair for measure, found in limits(verdict.standings).items() for pair in _headers(measure.value, found)
    )
    refused = verdict.refused_by
    if refused is None:
        return Decision(is_over_limit=False, headers=shown, subject=_kept(subject, verdict.reserved))
    rule = refused.rule
    rejection = quota_used_up(rule.limit, rule.measure.value, rule.window.seconds, refused.wait)
    return Decision(
        is_over_limit=True, headers=(*rejection.headers_for(request), *shown), body=rejection.body_for(request)
    )


def _headers(measure: str, found: Standing) -> tuple[tuple[str, str], ...]:
    return (
        (quotas.LIMIT_HEADER(measure), str(found.rule.limit)),
        (quotas.REMAINING_HEADER(measure), str(found.remaining)),
        (quotas.RESET_HEADER(measure), _duration(whole_seconds(found.reset) if found.reset else 0)),
    )


def _duration(seconds: int) -> str:
    """As OpenAI writes it: `6m0s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
