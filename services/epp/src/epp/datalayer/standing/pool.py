"""The standings of all endpoints of one pool. Pure; the pool's state is the only owner.

An endpoint is judged by how much more often its requests fail than those of the better half of the pool: what fails
everywhere is the clients' or the fleet's fault, and ejects nobody. At most half of a pool is out for failing requests;
an endpoint that cannot serve at all does not count against that, since keeping it in would help nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from epp.datalayer.standing.endpoint import LEAST_SHARE, Condition, EndpointStanding, Standing
from epp.datalayer.standing.evidence import Evidence
from epp.datalayer.standing.signals import REQUEST_FAILURES, Signal
from epp.domain import EndpointId

# Failures that weigh this much, fading included, are no chance. Three in a row within seconds suffice.
FAILURES_TO_EJECT: Final = 2.5
# How much more of its requests must fail than in the better half of the pool before an endpoint is taken out.
EXCESS_TO_EJECT: Final = 0.4
# So many failures without a success between them weigh more than all successes before, where most others have less than
# a third of them: a server that served a thousand requests until a moment ago hangs now. They do not fade: one that
# gets few requests, since it fails them, is found out all the same.
IN_A_ROW_TO_EJECT: Final = 5
IN_A_ROW_EXCESS: Final = 3
# A connection is refused by nobody else's fault.
UNREACHABLE_IN_A_ROW: Final = 3
# For an endpoint that was out a moment ago two failures are enough: it comes and goes.
FAILURES_ON_TRIAL: Final = 1.5
IN_A_ROW_ON_TRIAL: Final = 2
# From this excess on it gets fewer requests.
EXCESS_TO_LOWER: Final = 0.05
# Of the pool that may be out for failing requests.
EJECTED_SHARE_LIMIT: Final = 0.5
# Shares of failures count with so many successes more: one failure of few is no bad server, and what is left of old
# failures does not count for ever.
_PRIOR_SUCCESSES: Final = 1.0
# Failures that have faded to less than this count for nothing: one is forgotten after half a minute.
_FORGOTTEN: Final = 0.1
# Shares that fade are computed anew this often.
RESHARE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class StandingChanged:
    """An endpoint was ejected, or takes part again; `reason` is for people. `is_outage` says that it was not for
    requests that failed, but for what this replica sees of the server itself."""

    endpoint: EndpointId
    is_ejected: bool
    reason: str
    is_outage: bool = False


class PoolStanding:
    """See the module's docstring."""

    def __init__(self) -> None:
        self._endpoints: dict[EndpointId, EndpointStanding] = {}

    def __contains__(self, endpoint: EndpointId) -> bool:
        return endpoint in self._endpoints

    def joined(self, endpoint: EndpointId) -> None:
        """An endpoint is there from now on."""
        self._endpoints.setdefault(endpoint, EndpointStanding())

    def left(self, endpoint: EndpointId) -> None:
        """An endpoint is gone; one that comes back starts anew."""
        self._endpoints.pop(endpoint, None)

    def observe(
        self, endpoint: EndpointId, signal: Signal, now: float, detail: str = "", sent_at: float | None = None
    ) -> StandingChanged | None:
        """Take one sign; the ejection that follows from it, if one does. A failure of a request that was sent before
        the last ejection says nothing new."""
        state = self._endpoints.get(endpoint)
        if state is None:
            return None
        if sent_at is not None and sent_at < state.ejected_at and signal in REQUEST_FAILURES:
            return None
        suffices = state.observe(signal, now)
        if state.standing is Standing.EJECTED:
            return None
        if not suffices and not self._is_worse(state, signal, now):
            return None
        if not state.has_outage and not self._may_eject_another():
            return None
        reason = f"{signal.value} ({detail})" if detail else signal.value
        state.eject(reason, now)
        return StandingChanged(endpoint, is_ejected=True, reason=reason, is_outage=state.has_outage)

    def rest(self, endpoint: EndpointId, seconds: float, now: float) -> None:
        """A server refused for load and named a time."""
        state = self._endpoints.get(endpoint)
        if state is not None:
            state.rest(seconds, now)

    def advance(self, now: float) -> list[StandingChanged]:
        """Let time pass: those that take part again."""
        changes = []
        for id_, state in self._endpoints.items():
            before, reason = state.standing, state.reason
            state.advance(now)
            if before is Standing.EJECTED and state.standing is not before:
                changes.append(StandingChanged(id_, is_ejected=False, reason=reason))
        return changes

    def reduced(self, now: float) -> Mapping[EndpointId, float]:
        """Those that do not take part in every decision, with their shares. One pass; for the caller to keep until
        `changes_at` or the next sign."""
        baseline = self._baseline(now)
        shares = {id_: self._share(state, baseline, now) for id_, state in self._endpoints.items()}
        return {id_: share for id_, share in shares.items() if share < 1.0}

    def is_due_for_probe(self, endpoint: EndpointId, now: float) -> bool:
        """Whether the next request may go to an endpoint that probes."""
        return self._endpoints[endpoint].is_due_for_probe(now)

    def placed(self, endpoint: EndpointId, now: float) -> None:
        """A request went to an endpoint."""
        state = self._endpoints.get(endpoint)
        if state is not None:
            state.probe(now)

    def conditions(self, now: float) -> Mapping[EndpointId, Condition]:
        """Standing, share and reason of all."""
        baseline = self._baseline(now)
        return {
            id_: Condition(state.standing, share := self._share(state, baseline, now), _reason(state, share))
            for id_, state in self._endpoints.items()
        }

    def failing(self) -> Sequence[tuple[EndpointId, str]]:
        """Those that are out for requests that failed, and why."""
        return [
            (id_, state.reason)
            for id_, state in self._endpoints.items()
            if state.standing is Standing.EJECTED and not state.has_outage
        ]

    def changes_at(self, now: float) -> float:
        """When time alone changes a standing or a share."""
        moments = [state.changes_at(now) for state in self._endpoints.values()]
        if any(state.evidence.bad > _FORGOTTEN or state.share(now) < 1.0 for state in self._endpoints.values()):
            moments.append(now + RESHARE_SECONDS)
        return min(moments, default=float("inf"))

    def _is_worse(self, state: EndpointStanding, signal: Signal, now: float) -> bool:
        needed, in_a_row = FAILURES_TO_EJECT, IN_A_ROW_TO_EJECT
        if state.is_on_trial(now):
            needed, in_a_row = FAILURES_ON_TRIAL, IN_A_ROW_ON_TRIAL
        evidence = state.evidence
        if signal not in REQUEST_FAILURES:
            return False
        if signal is Signal.UNREACHABLE:
            in_a_row = min(in_a_row, UNREACHABLE_IN_A_ROW)
            if evidence.bad >= max(needed, evidence.good):
                return True
        if len(self._endpoints) < 2:
            return False
        if evidence.in_a_row >= in_a_row and self._is_alone_in_failing(state):
            return True
        return evidence.bad >= needed and _failing(evidence) - self._baseline(now) >= EXCESS_TO_EJECT

    def _is_alone_in_failing(self, state: EndpointStanding) -> bool:
        others = sorted(each.evidence.in_a_row for each in self._endpoints.values() if each is not state)
        return state.evidence.in_a_row >= IN_A_ROW_EXCESS * others[len(others) // 2] + 1

    def _baseline(self, now: float) -> float:
        """The share of requests that fail in the better half of the endpoints in good standing."""
        for state in self._endpoints.values():
            state.evidence.fade(now)
        good = [state.evidence for state in self._endpoints.values() if state.standing is Standing.GOOD]
        good.sort(key=_failing)
        better = good[: (len(good) + 1) // 2]
        bad = sum(evidence.bad for evidence in better)
        return bad / (bad + sum(evidence.good for evidence in better) + _PRIOR_SUCCESSES)

    def _share(self, state: EndpointStanding, baseline: float, now: float) -> float:
        share = state.share(now)
        if state.standing is not Standing.GOOD or state.evidence.bad <= _FORGOTTEN:
            return share
        excess = _failing(state.evidence) - baseline
        return share if excess <= EXCESS_TO_LOWER else min(share, max(LEAST_SHARE, (1.0 - excess) ** 2))

    def _may_eject_another(self) -> bool:
        out = sum(
            state.standing in (Standing.EJECTED, Standing.PROBING) and not state.has_outage
            for state in self._endpoints.values()
        )
        return out + 1 <= len(self._endpoints) * EJECTED_SHARE_LIMIT


def _failing(evidence: Evidence) -> float:
    """The share of requests that fail."""
    return evidence.bad / (evidence.good + evidence.bad + _PRIOR_SUCCESSES)


def _reason(state: EndpointStanding, share: float) -> str:
    if state.standing is not Standing.GOOD or share >= 1.0:
        return state.reason
    return "requests fail more often than elsewhere" if state.evidence.bad > _FORGOTTEN else Signal.OVERLOADED.value
