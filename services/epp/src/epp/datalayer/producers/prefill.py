"""Prefill: how fast each endpoint computes prompts, and how many seconds of them are reserved there. Pure.

The backlog is kept as the time at which it will be done, at the measured speed. Nobody waits for another's answer, so
answer tokens are no part of it; but each request there slows the decoding of the others, by what `decode_delay` says.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from epp.datalayer.aligned import Aligned
from epp.datalayer.events import EndpointJoined, EndpointLeft, RequestPlaced, RequestReported, Scraped, TimePassed
from epp.datalayer.member import Member
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers.load import LoadProducer
from epp.datalayer.producers.shared_speed import MeasuredElsewhere
from epp.datalayer.producers.speed import PRIOR_PREFILL_TOKENS_PER_SECOND, SpeedEstimator
from epp.datalayer.report import Report
from epp.datalayer.shared import ALONE, Shared
from epp.domain import SpeedObserved

NOTE: Final = "prefill"  # of the request: see `Ahead`
COST_NOTE: Final = "cost"  # of the request, once it is reported: see `Cost`
# An answer shorter than this many tokens says little about the time per token.
_SHORTEST_DECODE_TOKENS: Final = 8
# An answer whose tokens came faster than this after its first byte was not streamed: its first byte is its last, and
# stands for decoding as much as for prefill. No engine decodes one sequence at 2000 tokens a second.
_FASTEST_DECODE_SECONDS: Final = 0.0005
# Times to first token are whole milliseconds, and an answer in one piece takes one or two to pass.
_SHORTEST_STREAM_SECONDS: Final = 0.003
# More is computed before no first token: a broken server's count, of which one would outweigh a thousand real ones.
_LONGEST_PROMPT_TOKENS: Final = 2_000_000
# An answer's expected length until answers are seen, and how much each counts from then on.
_PRIOR_ANSWER_TOKENS: Final = 150.0
_ANSWER_SHARE: Final = 0.02


class Cost(NamedTuple):
    """What one token takes of the accelerator where a request was served: a prompt's to compute, an answer's as the
    share of a step that decodes others, too. In seconds."""

    seconds_per_prompt_token: float
    seconds_per_answer_token: float


class Ahead(NamedTuple):
    """What a request found: prompt tokens before it where its own is computed, and requests where it is answered, its
    own among them."""

    tokens: float
    requests: float


@dataclass(slots=True)
class EndpointPrefill:
    """One endpoint. `free_at` is when the prompts reserved so far are computed, at `pace` seconds per token, and
    `encoded_at` when their pictures and sound are encoded. Both are one accelerator's work, so the first includes it.
    """

    member: Member
    speed: SpeedEstimator
    free_at: float
    pace: float
    encoded_at: float = 0.0
    elsewhere: MeasuredElsewhere = field(default_factory=MeasuredElsewhere)
    published_samples: int = 0

    def backlog(self, now: float) -> float:
        """Seconds of prefill that are reserved and not done yet."""
        return max(0.0, self.free_at - now)

    def encoder_backlog(self, now: float) -> float:
        """Seconds of encoding among them."""
        return max(0.0, self.encoded_at - now)

    def reserve(self, tokens: int, now: float, media_tokens: int = 0) -> float:
        """Queue a prompt; the tokens queued before it are returned, encoding as tokens prefilled in its time."""
        ahead, self.pace = self.backlog(now) / self.pace, self.speed.seconds_per_token
        self.free_at = now + (ahead + tokens) * self.pace
        if media_tokens:
            seconds = media_tokens * self.speed.seconds_per_media_token
            self.free_at += seconds
            self.encoded_at = max(now, self.encoded_at) + seconds
        return ahead


class PrefillProducer:
    """See the module's docstring. Reads from the load whether an endpoint is idle."""

    def __init__(
        self, load: LoadProducer, tokens_per_second: float = PRIOR_PREFILL_TOKENS_PER_SECOND, shared: Shared = ALONE
    ) -> None:
        self._load = load
        self._shared = shared
        self._prior = tokens_per_second
        self._endpoints: dict[int, EndpointPrefill] = {}
        self._aligned = Aligned(self._endpoints)
        self.answer_tokens = _PRIOR_ANSWER_TOKENS  # of the pool's answers, on average

    def handles(self) -> Handlers:
        """Placements, scrapes, reports."""
        return {
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            Scraped: self._scraped,
            RequestPlaced: self._placed,
            RequestReported: self._reported,
            SpeedObserved: self._observed_elsewhere,
            TimePassed: self._time_passed,
        }

    def columns(self) -> Mapping[str, Column]:
        """In seconds."""
        return {"backlog": self._backlogs, "seconds_per_token": self._speeds, "decode_delay": self._decode_delays}

    def of(self, slot: int) -> EndpointPrefill:
        """One endpoint."""
        return self._endpoints[slot]

    def _backlogs(self, placing: Placing, slots: Sequence[int]) -> Sequence[float]:
        now = placing.now
        return [each.free_at - now if each.free_at > now else 0.0 for each in self._aligned.of(slots)]

    def _speeds(self, placing: Placing, slots: Sequence[int]) -> Sequence[float]:
        del placing
        return [each.speed.seconds_per_token for each in self._aligned.of(slots)]

    def _decode_delays(self, placing: Placing, slots: Sequence[int]) -> Sequence[float]:
        """Seconds that each request there adds to decoding an answer of the usual length."""
        tokens, most = self.answer_tokens, placing.request.max_tokens
        if most is not None and most < tokens:
            tokens = most
        return [each.speed.gap_per_request * tokens for each in self._aligned.of(slots)]

    def _joined(self, event: EndpointJoined, now: float) -> None:
        speed = SpeedEstimator(self._prior)
        self._endpoints[event.member.slot] = EndpointPrefill(event.member, speed, now, speed.seconds_per_token)
        self._aligned.forget()

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        self._endpoints.pop(event.member.slot, None)
        self._aligned.forget()

    def _scraped(self, event: Scraped, now: float) -> None:
        metrics, slot = event.metrics, event.member.slot
        if not metrics.waiting and not metrics.running and not self._load.in_flight(slot):
            self._endpoints[slot].free_at = self._endpoints[slot].encoded_at = now

    def _placed(self, event: RequestPlaced, now: float) -> None:
        ahead = 0.0
        for share in event.placement.shares:
            queued = self._endpoints[share.member.slot].reserve(share.prompt_tokens, now, share.media_tokens)
            if share.holds_prompt:  # of two, the prefill leg comes last
                ahead = queued
        primary = event.placement.shares[0].member.slot
        event.placement.notes[NOTE] = Ahead(ahead, self._load.requests(primary))

    def placed_elsewhere(self, slot: int, tokens: int, now: float) -> None:
        """Another replica's prompt of so many tokens goes there."""
        known = self._endpoints.get(slot)
        if known is not None:
            known.reserve(tokens, now)

    def _reported(self, event: RequestReported, now: float) -> None:
        del now
        report = event.report
        if report.served is not None:
            ahead = report.placement.notes.get(NOTE)
            requests = ahead.requests if isinstance(ahead, Ahead) else 1.0
            speed = self._endpoints[report.served.slot].speed
            step = speed.step_seconds(max(1.0, requests))
            report.placement.notes[COST_NOTE] = Cost(speed.seconds_per_token, step / max(1.0, requests))
        if report.served is not None and report.is_ok and not report.connect_failed:
            learn_speed(self._endpoints[report.served.slot].speed, report)
            if (completed := report.feedback.completion_tokens) is not None:
                self.answer_tokens += _ANSWER_SHARE * (completed - self.answer_tokens)

    def _time_passed(self, event: TimePassed, now: float) -> None:
        del event, now
        if not self._shared.is_on:
            return
        for each in self._endpoints.values():
            if each.speed.samples != each.published_samples:
                self._shared.publish(self._observed(each))

    def _observed(self, each: EndpointPrefill) -> SpeedObserved:
        each.published_samples = each.speed.samples
        shared = self._shared
        return SpeedObserved(shared.pool, each.member.id, shared.run, each.speed.sums, shared.next_stamp())

    def facts(self) -> Iterator[SpeedObserved]:
        """What was measured here and elsewhere, for a replica that lacks it."""
        pool = self._shared.pool
        for each in tuple(self._endpoints.values()):
            if each.published_samples:
                yield self._observed(each)
            for run, stamp, lines in each.elsewhere.words():
                yield SpeedObserved(pool, each.member.id, run, lines, stamp)

    def _observed_elsewhere(self, event: SpeedObserved, now: float) -> None:
        del now
        self._shared.witness(event.stamp)
        if event.run == self._shared.run:
            return
        for each in self._endpoints.values():
            if each.member.id == event.endpoint and each.elsewhere.take(event.run, event.stamp, event.lines):
                each.speed.add_others(each.elsewhere.together())


def learn_speed(speed: SpeedEstimator, report: Report) -> None:
    """Feed the estimator with one answer. What waited before it is known only at the endpoint that was picked."""
    feedback, placement = report.feedback, report.placement
    ttft, duration, ahead = feedback.ttft_seconds, feedback.duration_seconds, placement.notes.get(NOTE)
    if ttft is None or report.is_elsewhere or not isinstance(ahead, Ahead) or _came_in_one_piece(report):
        return
    if not placement.has_legs:
        tokens = feedback.prompt_tokens if feedback.prompt_tokens is not None else placement.prompt_tokens
        cached = feedback.cached_tokens if feedback.cached_tokens is not None else placement.matched_tokens
        if tokens - cached <= _LONGEST_PROMPT_TOKENS:
            media = placement.shares[0].media_tokens
            speed.first_token(max(0, tokens - cached) + int(ahead.tokens), ttft, media)
    decoded = (feedback.completion_tokens or 0) - 1
    if duration is not None and decoded >= _SHORTEST_DECODE_TOKENS:
        speed.decoded(decoded, duration - ttft, ahead.requests)


def _came_in_one_piece(report: Report) -> bool:
    """Whether the first byte says nothing of the first token. For a single token it does, streamed or not."""
    feedback = report.feedback
    ttft, duration, tokens = feedback.ttft_seconds, feedback.duration_seconds, feedback.completion_tokens
    if ttft is None or duration is None or tokens == 1:
        return False
    return duration - ttft < max(_SHORTEST_STREAM_SECONDS, (tokens or 0) * _FASTEST_DECODE_SECONDS)
