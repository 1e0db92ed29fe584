"""What the picker learns from how its requests went: who can be reached, how fast they are, what they hold. Pure."""

from epp.datalayer.endpoint import EndpointState
from epp.datalayer.learning import correct_matches, learn_speed
from epp.datalayer.ledger import Reservation
from epp.datalayer.pool import PoolState
from epp.domain import Feedback
from epp.picking.observer import Observer

HTTP_OK = 200
# Envoy's response flags that speak of the connection to the endpoint, as its gRPC access log names them. When the list
# is walked to its end the flag is no_healthy_upstream.
CONNECT_FAILURES = frozenset(
    ("upstream_connection_failure", "no_healthy_upstream", "upstream_connection_termination", "upstream_remote_reset")
)


def learn_from(feedback: Feedback, reservation: Reservation, pool: PoolState, observer: Observer, now: float) -> None:
    """Take the access log's last word on a pick."""
    picked = reservation.shares[0].state
    served = pool.states.get(feedback.served) if feedback.served is not None else None
    if served is not picked:
        if feedback.attempts > 1 or _connect_failed(feedback):
            _note_failure(pool, picked, feedback, observer, now)
        unlearn(reservation, pool)
    if served is None:
        return
    if _connect_failed(feedback):
        _note_failure(pool, served, feedback, observer, now)
        if served is picked and feedback.status != HTTP_OK:
            unlearn(reservation, pool)
        return
    if _was_answered(feedback):
        served.health.request_succeeded()
    if served is not picked and reservation.block_tokens == pool.block_tokens:
        pool.index.learn(served.slot, reservation.blocks)
    if feedback.status == HTTP_OK:
        learn_speed(served.speed, reservation, feedback, is_picked=served is picked)
        if feedback.prompt_tokens is not None:
            pool.learn_tokens(served, reservation.prompt_tokens, feedback.prompt_tokens)
        if served is picked:
            correct_matches(pool, served, reservation, feedback)


def unlearn(reservation: Reservation, pool: PoolState) -> None:
    """The request never reached its endpoints: they do not hold what only it would have brought."""
    for share in reservation.shares:
        if share.holds_prompt and pool.states.get(share.state.id) is share.state:
            pool.index.unlearn(share.state.slot, reservation.blocks[reservation.new_from :])


def _note_failure(pool: PoolState, state: EndpointState, feedback: Feedback, observer: Observer, now: float) -> None:
    reason = f"requests fail ({','.join(feedback.flags) or feedback.status or 'no answer'})"
    if state.health.request_failed(now, reason):
        pool.avoid(state.id)
        observer.ejected(pool.spec.id, state.id, reason)


def _was_answered(feedback: Feedback) -> bool:
    """Whether the model server said something; a client that left first, or a timeout, leaves that open."""
    return feedback.ttft_seconds is not None or (feedback.status is not None and not feedback.flags)


def _connect_failed(feedback: Feedback) -> bool:
    return bool(CONNECT_FAILURES.intersection(feedback.flags))
