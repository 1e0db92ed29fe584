"""What the end of a request teaches: the speed of its endpoint, and what that endpoint really had cached. Pure."""

from epp.datalayer.endpoint import EndpointState
from epp.datalayer.ledger import Reservation
from epp.datalayer.pool import PoolState
from epp.datalayer.speed import SpeedEstimator
from epp.domain import Feedback

# An answer shorter than this many tokens tells little about the time per token.
_SHORTEST_DECODE_TOKENS = 8
# An answer whose tokens came faster than this after its first byte was not streamed: its first byte is its last, and
# tells of decoding as much as of prefill. No engine decodes one sequence at 2000 tokens a second.
_FASTEST_DECODE_SECONDS = 0.0005
# Times to first token are whole milliseconds, and an answer in one piece takes one or two to pass.
_SHORTEST_STREAM_SECONDS = 0.003
# More is computed before no first token: a broken server's count, of which one would outweigh a thousand real ones.
_LONGEST_PROMPT_TOKENS = 2_000_000


def learn_speed(speed: SpeedEstimator, reservation: Reservation, feedback: Feedback, *, is_picked: bool) -> None:
    """Feed the estimator with one answer. What waited before it is known only at the endpoint that was picked."""
    ttft, duration = feedback.ttft_seconds, feedback.duration_seconds
    if ttft is None or _came_in_one_piece(feedback):
        return
    if is_picked and len(reservation.shares) == 1:
        tokens = feedback.prompt_tokens if feedback.prompt_tokens is not None else reservation.prompt_tokens
        cached = feedback.cached_tokens if feedback.cached_tokens is not None else reservation.matched_tokens
        if tokens - cached <= _LONGEST_PROMPT_TOKENS:
            speed.first_token(max(0, tokens - cached) + reservation.ahead_tokens, ttft)
    decoded = (feedback.completion_tokens or 0) - 1
    if duration is not None and decoded >= _SHORTEST_DECODE_TOKENS:
        speed.decoded(decoded, duration - ttft)


def _came_in_one_piece(feedback: Feedback) -> bool:
    """Whether the first byte says nothing of the first token. For a single token it does, streamed or not."""
    ttft, duration, tokens = feedback.ttft_seconds, feedback.duration_seconds, feedback.completion_tokens
    if ttft is None or duration is None or tokens == 1:
        return False
    return duration - ttft < max(_SHORTEST_STREAM_SECONDS, (tokens or 0) * _FASTEST_DECODE_SECONDS)


def correct_matches(pool: PoolState, state: EndpointState, reservation: Reservation, feedback: Feedback) -> None:
    """Compare the match with the engine's word.

    If the engine had less than was believed, it had evicted the first missing block; engines evict the least recently
    used first, so everything older is gone, too. If it had more, there is nothing to learn: it holds the prompt now.
    Where exactly the engine's match ended is an estimate, and it often ends where a shared prefix does: the block there
    was touched a moment ago. So the one after it is taken for the first missing.
    """
    cached = feedback.cached_tokens
    if cached is None:
        return
    state.measured_cached += 1
    if reservation.block_tokens != pool.block_tokens:
        return
    # Token counts are estimates: one block of doubt is not evidence.
    if cached + 2 * pool.block_tokens > _expected_tokens(reservation, feedback):
        return
    scale = reservation.prompt_tokens / feedback.prompt_tokens if feedback.prompt_tokens else 1.0
    first_missing = int(cached * scale) // pool.block_tokens + 1
    stamp = reservation.stamps[first_missing] if first_missing < len(reservation.stamps) else None
    if stamp is not None:
        pool.index.forget_older(state.slot, stamp)


def _expected_tokens(reservation: Reservation, feedback: Feedback) -> float:
    """The believed match in the engine's own tokens."""
    if not feedback.prompt_tokens or not reservation.prompt_tokens:
        return reservation.matched_tokens
    return reservation.matched_tokens * feedback.prompt_tokens / reservation.prompt_tokens
