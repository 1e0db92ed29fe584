"""What a transport gets for a placement: endpoints in order, headers, and the body if the model was rewritten. Pure."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from epp.config import SchedulerConfig
from epp.datalayer.placement import Placement
from epp.datalayer.roster import Avoided
from epp.domain import Pick
from epp.picking.explain import Notes, margin
from epp.picking.objectives import first_token_limit
from epp.picking.place import targets_of
from epp.picking.prepare import Prepared
from epp.picking.rewrite import replace_model
from epp.scheduling.plugin import Decision
from epp.scheduling.sessions import token_of
from gateway.wire import protocol
from gateway.wire.forms import is_form, with_model
from gateway.wire.volatile_lines import without_volatile_lines

Headers = tuple[tuple[str, str], ...]

# No other server has what such a request builds on, or it would be stored twice.
NO_RETRIES: Final[Headers] = ((protocol.RETRIES, "0"),)


class Placed(NamedTuple):
    """One request with the decision about it and what was reserved."""

    prepared: Prepared
    decision: Decision
    placement: Placement
    candidates: int
    notes: Notes | None
    avoided: Avoided = ()
    longest_match: int = 0  # blocks that any endpoint holds
    volatile_lines: tuple[str, ...] = ()

    @property
    def margin(self) -> float:
        """How far the choice lies ahead of the best other candidate."""
        return margin(self.decision.primary.totals, self.decision.primary.chosen)


def pick(placed: Placed, config: SchedulerConfig, *, explains: bool) -> Pick:
    """The verdict."""
    prepared, placement = placed.prepared, placed.placement
    decision, parsed = placed.decision, prepared.parsed
    headers: Headers = ()
    if decision.prefill is not None or decision.encode is not None:
        headers = _request_headers(decision)
    if parsed.stored_id is not None:
        headers += NO_RETRIES
    elif len(placement.targets) <= prepared.request.fallbacks and not prepared.request.lower_tiers:
        headers += ((protocol.RETRIES, str(len(placement.targets) - 1)),)  # none walks longer than the list
    if parsed.is_streaming:
        headers += _first_token(first_token_limit(prepared.request, prepared.spec))
    explain: Headers = ()
    if explains or config.token_headers:
        explain = _response_headers(placed, config, explains=explains)
    body = _rewritten(prepared) if is_rewritten(prepared) else None
    served = None if body is None else parsed.target_model
    if config.prefix.strip_volatile_lines and parsed.canonical:
        body = _stripped(prepared, body, config.prefix.volatile_lines)
    return Pick(placement.id, placement.pool, placement.targets, headers, body, explain, parsed.model, served)


def _first_token(seconds: float | None) -> Headers:
    """The attempt's time, and that its answer begins with the first token and not with the head."""
    if seconds is None:
        return ()
    return ((protocol.ATTEMPT_TIMEOUT, str(round(seconds * 1000))), (protocol.TTFT_LIMIT, protocol.TTFT_HELD))


def is_rewritten(prepared: Prepared) -> bool:
    """Whether another model answers than the one that the client named."""
    parsed = prepared.parsed
    return parsed.model is not None and parsed.target_model != parsed.model


def _rewritten(prepared: Prepared) -> bytes | None:
    request, target = prepared.request, prepared.parsed.target_model
    content_type = request.headers.get("content-type", "")
    if is_form(content_type):
        return with_model(content_type, request.body, target)
    return replace_model(request.body, target)


def _stripped(prepared: Prepared, rewritten: bytes | None, lines: Sequence[str]) -> bytes | None:
    """The body without volatile lines; None where it stays as it came."""
    body = prepared.request.body if rewritten is None else rewritten
    found = without_volatile_lines(body, lines)
    return rewritten if found is body else found


def _request_headers(decision: Decision) -> Headers:
    headers: Headers = ()
    if decision.prefill is not None:
        headers = ((protocol.PREFILL_ENDPOINT, targets_of(decision.prefill)[0]),)
    if decision.encode is not None:
        headers += ((protocol.ENCODE_ENDPOINTS, ",".join(targets_of(decision.encode))),)
    return headers


def _response_headers(placed: Placed, config: SchedulerConfig, *, explains: bool) -> Headers:
    first = placed.placement.primary.id
    headers: Headers = ()
    if config.token_headers:
        headers = tuple((name, token_of(first)) for name in config.token_headers)
    if explains and placed.prepared.request.headers.get(protocol.EXPLAIN) == "true":
        headers += ((protocol.EXPLAIN_ENDPOINT, first), (protocol.EXPLAIN_MARGIN, f"{placed.margin:.4f}"))
    return headers
