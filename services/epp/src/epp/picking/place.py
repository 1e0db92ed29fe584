"""The step that chooses endpoints: signals as they are at this moment become a decision, and the decision a placement.

Pure. Candidates and columns are read here and not before, so a request that waited is placed by what is known now.
Nothing awaits within it, and everything that is learned from it is known before the next request is placed.
"""

from random import Random
from typing import Final, NamedTuple

from epp.config import SchedulerConfig
from epp.datalayer.member import Member
from epp.datalayer.placement import Placement, Share
from epp.datalayer.placing import Placing
from epp.datalayer.pool import PoolState
from epp.datalayer.producers.prefixes import LONGEST
from epp.datalayer.roster import Avoided
from epp.domain import EndpointId, PickId
from epp.picking import poison
from epp.picking.prepare import Prepared, fairness_id_of, objective_of
from epp.prompts.request import InferenceRequest
from epp.scheduling.containing import in_words
from epp.scheduling.plugin import Decision, ProfileResult, Trace
from epp.scheduling.profile import NO_TRACE
from epp.scheduling.view import SchedulingView
from gateway.wire import refusals
from gateway.wire.errors import Rejection
from gateway.wire.protocol import TENANT

NO_REQUEST: Final = InferenceRequest(model=None)
_VERDICTS: Final = (Decision, Rejection)
_HANDLER_FAILED: Final = refusals.internal("the profile handler failed")


class Candidacy(NamedTuple):
    """Who may serve a request now: a view for plugins, and what the view's columns are computed from."""

    view: SchedulingView
    placing: Placing
    avoided: Avoided = ()
    probe: EndpointId | None = None  # who needs a request to show whether it serves again


def candidates_of(prepared: Prepared, pool: PoolState, now: float, random: Random) -> Candidacy | None:
    """The candidates of this moment; None where there is none."""
    request, stored_id = prepared.request, prepared.parsed.stored_id
    among = request.subset if stored_id is None else _keepers(stored_id, pool, request.subset)
    found = pool.candidates(now, random, among)
    if not found.slots:
        return None
    if found.probe is not None and stored_id is not None:  # which would fail at another server
        found = found.without_probe()
    placing = Placing(prepared.parsed, prepared.blocks, prepared.session_key, now, {})
    view = SchedulingView(found.endpoints, random, request.fallbacks, None, found.slots, pool.columns, placing)
    return Candidacy(view, placing, found.avoided, found.probe)


def _keepers(stored_id: str, pool: PoolState, allowed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Who may have a stored answer: the endpoint that keeps it, or everybody where that is not known."""
    home = pool.home(stored_id)
    return allowed if home is None or (allowed is not None and home not in allowed) else (home,)


def everybody_of(pool: PoolState, now: float, random: Random) -> SchedulingView | None:
    """The candidates of this moment for no request in particular."""
    found = pool.candidates(now, random)
    if not found.slots:
        return None
    placing = Placing(NO_REQUEST, (), None, now, {})
    return SchedulingView(found.endpoints, random, _slots=found.slots, _columns=pool.columns, _placing=placing)


def none_ready(prepared: Prepared) -> Rejection:
    """There is nobody to choose from."""
    is_narrowed = prepared.request.subset is not None
    reason = "no endpoint is allowed by the proxy's subset" if is_narrowed else "no endpoint is ready"
    return refusals.no_ready_endpoint(f"{reason} in pool {prepared.spec.id!r}")


def decide(config: SchedulerConfig, view: SchedulingView, trace: Trace) -> Decision | Rejection:
    """Run the profiles: whom they choose, or why nobody is."""
    try:
        answer: object = config.handler.run(config.profiles, view, trace)
        if not isinstance(answer, _VERDICTS):
            raise TypeError(f"expected a decision or a rejection, got {answer!r}")
    except Exception as error:  # noqa: BLE001 - nothing is known of what somebody's plugin raises
        trace.failed(type(config.handler).__name__, in_words(error))
        return _HANDLER_FAILED
    return answer


def with_probe(decision: Decision, probe: EndpointId) -> Decision:
    """The decision with an endpoint that is due for a probe before the others, where it could serve the request; the
    proxy goes on to those when it does not."""
    prefill = None if decision.prefill is None else _led_by(probe, decision.prefill)
    return Decision(_led_by(probe, decision.primary), prefill, decision.encode)


def last_resorts(
    decision: Decision, found: Candidacy, pool: PoolState, config: SchedulerConfig
) -> tuple[EndpointId, ...]:
    """Endpoints that are avoided now, to walk to after the chosen ones where there are fewer of these than the proxy
    would try: a doubtful endpoint is better than an answer that none is left. Filters judge them like any other."""
    missing = 1 + found.view.fallbacks - len(decision.primary.chosen)
    if not found.avoided or missing <= 0:
        return ()
    members = [pool.roster.members[id_] for id_, _ in found.avoided]
    view = SchedulingView(
        [member.endpoint for member in members], found.view.random, missing - 1,
        _slots=[member.slot for member in members], _columns=pool.columns, _placing=found.placing,
    )  # fmt: skip
    other = decide(config, view, NO_TRACE)
    return targets_of(other.primary)[:missing] if isinstance(other, Decision) else ()


def _led_by(endpoint: EndpointId, result: ProfileResult) -> ProfileResult:
    at = next((at for at, each in enumerate(result.view.endpoints) if each.id == endpoint), None)
    if at is None:
        return result
    return ProfileResult(result.view, result.totals, (at, *(each for each in result.chosen if each != at)))


def placement_of(
    pick_id: PickId, prepared: Prepared, decision: Decision, pool: PoolState, config: SchedulerConfig
) -> Placement:
    """What the decision reserves: the answer is generated by the primary, the prompt computed there or by the prefill
    leg."""
    parsed, request, primary = prepared.parsed, prepared.request, decision.primary
    matched, prompt_tokens = matched_by(primary), parsed.prompt_tokens
    matched_tokens = min(matched * prepared.block_tokens, prompt_tokens)
    answer_tokens = config.load.output_tokens(prompt_tokens, parsed.max_tokens)
    uncached = prompt_tokens - matched_tokens
    shares = _shares(decision, pool, (uncached, answer_tokens, min(parsed.media_tokens, uncached)))
    return Placement(  # by position, which takes half the time
        pick_id, prepared.spec.id, shares, parsed.model or "", parsed.target_model, objective_of(request),
        fairness_id_of(request), parsed.priority, prompt_tokens, matched_tokens, prepared.block_tokens,
        prepared.blocks, matched, prepared.session_key, primary.view.now,
        {poison.NOTE: poison.hash_of(request.body)} if request.body and not request.is_begun else {},
        targets_of(primary), parsed.media_tokens, request.headers.get(TENANT, ""),
    )  # fmt: skip


def matched_by(result: ProfileResult) -> int:
    """Blocks of the prompt that the first endpoint of a choice is believed to hold."""
    return int(result.view.figure("matched_blocks", result.chosen[0]))


def longest_match(placing: Placing) -> int:
    """Blocks of the prompt that any endpoint was believed to hold when it was placed."""
    found: int = placing.computed.get(LONGEST, 0)
    return found


def targets_of(result: ProfileResult) -> tuple[EndpointId, ...]:
    """The endpoints that a profile chose, in order."""
    endpoints = result.view.endpoints
    return tuple([endpoints[at].id for at in result.chosen])


def _shares(decision: Decision, pool: PoolState, tokens: tuple[int, int, int]) -> tuple[Share, ...]:
    """`tokens` are those to compute, to generate and to encode."""
    uncached, answer, media = tokens
    primary, prefill, encode = decision
    if prefill is None and encode is None:
        return (Share(_first_member(primary, pool), uncached, answer, media_tokens=media),)
    members = pool.roster.members
    encoders = () if encode is None else targets_of(encode)
    each, media = (media // len(encoders), 0) if encoders else (0, media)
    encoding = tuple(Share(members[id_], 0, holds_prompt=False, media_tokens=each) for id_ in encoders)
    if prefill is None:
        return (Share(_first_member(primary, pool), uncached, answer, media_tokens=media), *encoding)
    computing = Share(_first_member(prefill, pool), uncached, media_tokens=media)
    return (Share(_first_member(primary, pool), 0, answer), computing, *encoding)


def _first_member(result: ProfileResult, pool: PoolState) -> Member:
    return pool.roster.members[result.view.endpoints[result.chosen[0]].id]
