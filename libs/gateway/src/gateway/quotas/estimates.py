"""What an answer without usage is taken to have used, by its bytes, and what one to come may use. Pure.

Bytes for each token are learned from answers that told both, for each model, and apart for streams, whose events are
mostly frame. A client that leaves in the middle of a stream so pays for what it got.
"""

import math
from collections import OrderedDict
from typing import Final, NamedTuple

from gateway.quotas.usage import Usage

PROMPT_BYTES: Final = 4.0  # for each token, of English text
ANSWER_BYTES: Final = 6.0  # of JSON, with its frame
EVENT_BYTES: Final = 200.0  # of a stream: one event for each token
SHARE: Final = 0.1  # of the newest answer in what is learned
MOST_MODELS: Final = 1000  # of which figures are kept; the one not seen for longest goes


class Answer(NamedTuple):
    """How one request ended. Absent counts are None. `status` is 0 where no answer began."""

    status: int
    attempts: int
    bytes_received: int  # of the request's body
    bytes_sent: int  # of the answer's
    is_streamed: bool = False
    prompt: int | None = None
    cached: int | None = None
    completion: int | None = None
    reasoning: int | None = None

    @property
    def is_served(self) -> bool:
        """Whether a server worked for it: it answered well, or its client did not wait."""
        return 200 <= self.status < 300 or (self.status == 0 and self.attempts > 0)


class Estimator:
    """Learns from answers with usage, and judges those without."""

    def __init__(self) -> None:
        self._ratios: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._sizes: OrderedDict[str, tuple[float, float]] = OrderedDict()  # of a model's answers, on average

    def expected(self, model: str) -> Usage:
        """What the next answer of a model may use; nothing before any was seen."""
        prompt, completion = self._sizes.get(model, (0.0, 0.0))
        return Usage(prompt=math.ceil(prompt), completion=math.ceil(completion), is_estimated=True)

    def usage(self, model: str, answer: Answer) -> Usage | None:
        """What an answer used; None for one that used nothing."""
        if answer.prompt is not None and answer.completion is not None:
            self._learn(model, answer)
        elif answer.prompt is None and answer.completion is None and not answer.is_served:
            return None
        prompt, completion = answer.prompt, answer.completion
        if prompt is None:
            prompt = round(answer.bytes_received / self._ratio(model, "prompt", PROMPT_BYTES))
        is_embedding = answer.prompt is not None and completion is None and not answer.is_streamed
        if completion is None:
            completion = 0 if is_embedding else round(answer.bytes_sent / self._ratio(model, *_kind(answer)))
        is_estimated = answer.prompt is None or (answer.completion is None and not is_embedding)
        self._note_size(model, prompt, completion)
        return Usage(prompt, answer.cached or 0, completion, answer.reasoning or 0, is_estimated)

    def _learn(self, model: str, answer: Answer) -> None:
        if answer.prompt and answer.bytes_received:
            self._note(model, "prompt", PROMPT_BYTES, answer.bytes_received / answer.prompt)
        if answer.completion and answer.bytes_sent:
            self._note(model, *_kind(answer), answer.bytes_sent / answer.completion)

    def _note_size(self, model: str, prompt: int, completion: int) -> None:
        known = self._sizes.get(model, (float(prompt), float(completion)))
        self._sizes[model] = (known[0] + SHARE * (prompt - known[0]), known[1] + SHARE * (completion - known[1]))
        self._sizes.move_to_end(model)
        if len(self._sizes) > MOST_MODELS:
            self._sizes.popitem(last=False)

    def _note(self, model: str, kind: str, usual: float, ratio: float) -> None:
        known = self._ratio(model, kind, usual)
        self._ratios[model, kind] = known + SHARE * (max(ratio, 1.0) - known)
        self._ratios.move_to_end((model, kind))
        if len(self._ratios) > 3 * MOST_MODELS:
            self._ratios.popitem(last=False)

    def _ratio(self, model: str, kind: str, usual: float) -> float:
        return self._ratios.get((model, kind), usual)


def _kind(answer: Answer) -> tuple[str, float]:
    return ("stream", EVENT_BYTES) if answer.is_streamed else ("answer", ANSWER_BYTES)
