"""Requests that ended become lines of the bill. Pure; an observer of the picker, in front of another.

An answer that told no usage is estimated, as quotas estimate it: the prompt by the picker's own count, the rest by the
bytes that the client got. GPU time is the request's share: of prefill its uncached tokens, of each decoding step one
part of those that were decoded together, both at the speed that was measured where it was served.
"""

from collections.abc import Callable

from epp.billing.totals import Line, Sums, Totals, day_of
from epp.datalayer.placement import Placement
from epp.datalayer.producers.prefill import COST_NOTE, Cost
from epp.domain import Feedback
from epp.picking.observer import PickObserver
from gateway.quotas.estimates import PROMPT_BYTES, Answer, Estimator
from gateway.quotas.usage import Usage

NO_COST = Cost(0.0, 0.0)


class BilledRequests:
    """Takes the ends of requests from the picker. `wall` is the time in Unix seconds."""

    def __init__(self, observer: PickObserver, wall: Callable[[], float]) -> None:
        self._observer, self._wall = observer, wall
        self._estimator = Estimator()
        self.sums = Sums()
        self.placed, self.rejected, self.settled = observer.placed, observer.rejected, observer.settled
        self.rewritten, self.ejected, self.returned = observer.rewritten, observer.ejected, observer.returned
        self.failed, self.inert, self.warned = observer.failed, observer.inert, observer.warned
        self.attempt_failed = observer.attempt_failed

    def reported(self, feedback: Feedback, placement: Placement) -> None:
        """It ended."""
        self._observer.reported(feedback, placement)
        usage = self._estimator.usage(placement.target_model, _answer(feedback, placement))
        if usage is None:
            return
        line = Line(day_of(self._wall()), placement.tenant, placement.target_model)
        self.sums.add(line, _totals(usage, placement))


def _answer(feedback: Feedback, placement: Placement) -> Answer:
    return Answer(  # by position, which takes half the time
        feedback.status or 0, feedback.attempts, round(placement.prompt_tokens * PROMPT_BYTES),
        feedback.response_bytes or 0, feedback.is_streamed, feedback.prompt_tokens, feedback.cached_tokens,
        feedback.completion_tokens, feedback.reasoning_tokens,
    )  # fmt: skip


def _totals(usage: Usage, placement: Placement) -> Totals:
    noted = placement.notes.get(COST_NOTE)
    cost = noted if isinstance(noted, Cost) else NO_COST
    cached = min(usage.cached or (placement.matched_tokens if usage.is_estimated else 0), usage.prompt)
    seconds = (usage.prompt - cached) * cost.seconds_per_prompt_token + usage.completion * cost.seconds_per_answer_token
    return Totals(  # by position, as above
        1, int(usage.is_estimated), usage.prompt, cached, usage.completion, usage.reasoning, round(seconds * 1e6)
    )
