"""Prefixes: which endpoint is believed to hold how much of a prompt in its cache. Pure.

Learned from where prompts are sent, here and by other replicas; corrected by what engines report of cached tokens.
Blocks, their size and how many an endpoint holds follow the configuration and what engines say of their caches.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from epp.datalayer.events import (
    Configured,
    EndpointJoined,
    EndpointLeft,
    MembersChanged,
    PrefixSettings,
    RequestPlaced,
    RequestReported,
    RequestSettled,
    Scraped,
)
from epp.datalayer.member import Member
from epp.datalayer.placement import SETTLED_BLOCKS_LIMIT, Placement
from epp.datalayer.placing import Placing
from epp.datalayer.producer import Column, Handlers
from epp.datalayer.producers import prefix_facts
from epp.datalayer.producers.engines import EnginesProducer, has_restarted
from epp.datalayer.producers.prefix_history import Change, PrefixHistory
from epp.datalayer.producers.prefix_holding import DEFAULT_CAPACITY_BLOCKS, Stamp
from epp.datalayer.producers.prefix_index import PrefixIndex, Touches, stamp_at
from epp.datalayer.producers.tokens import TokenScale
from epp.datalayer.report import Report
from epp.datalayer.shared import ALONE, Shared
from epp.domain import EndpointId, EngineMetrics, Outcome, PrefixesHeld, PrefixLearned, PrefixUnlearned

NOTE: Final = "prefix"  # when the first endpoint last touched the blocks before
LONGEST: Final = "longest match"  # of what is computed once for each placement: in blocks, over all endpoints
# Blocks held over all endpoints of a pool: 0.35 GB for prompts of 16 blocks, ten times as much if all had only one.
# Where endpoints have room for more in all, each gets an equal share, and its coldest prefixes are forgotten early.
POOL_BLOCKS_LIMIT: Final = 10_000_000
NO_SETTINGS: Final = PrefixSettings(lambda _: 0, DEFAULT_CAPACITY_BLOCKS, follows_engine=True)

Matches = Mapping[int, int]  # slot → leading blocks


class PrefixProducer:
    """See the module's docstring."""

    def __init__(self, engines: EnginesProducer, shared: Shared = ALONE) -> None:
        self.index = PrefixIndex()
        self._shared = shared
        self._history = PrefixHistory()
        self.token_scale = TokenScale()
        self.block_tokens = 0
        self._engines = engines
        self._settings = NO_SETTINGS
        self._members: dict[EndpointId, Member] = {}
        self._present = 0  # of them; the others drain
        self._started: dict[int, EngineMetrics] = {}  # by slot: the scrape before
        self._cold = 0  # placements without any cached prefix, for the least recently used order
        self._last_cold: dict[int, int] = {}
        self.measured: dict[int, int] = {}  # by slot: answers that reported cached tokens

    def handles(self) -> Handlers:
        """What is sent, what comes back, and what changes the caches."""
        return {
            Configured: self._configured,
            EndpointJoined: self._joined,
            EndpointLeft: self._left,
            MembersChanged: self._members_changed,
            Scraped: self._scraped,
            RequestPlaced: self._placed,
            RequestSettled: self._settled,
            RequestReported: self._reported,
            PrefixLearned: self._learned_elsewhere,
            PrefixUnlearned: self._unlearned_elsewhere,
            PrefixesHeld: self._held_elsewhere,
        }

    def columns(self) -> Mapping[str, Column]:
        """Matches in blocks, tokens and as a share of the prompt."""
        return {
            "matched_blocks": self._matched_blocks,
            "matched_tokens": self._matched_tokens,
            "match_ratio": self._match_ratio,
            "last_cold_pick": lambda _, slots: [self._last_cold.get(slot, 0) for slot in slots],
        }

    def matches(self, placing: Placing) -> Matches:
        """Who holds how much of this prompt; found once for each placement."""
        found: Matches | None = placing.computed.get(NOTE)
        if found is None:
            found = placing.computed[NOTE] = self.index.match(placing.blocks)
        return found

    def longest_match(self, placing: Placing) -> int | None:
        """The block with which the longest match ends; None without a match."""
        length: int | None = placing.computed.get(LONGEST)
        if length is None:
            length = placing.computed[LONGEST] = max(self.matches(placing).values(), default=0)
        return placing.blocks[length - 1] if length else None

    def holders(self, placing: Placing) -> int:
        """How many endpoints have the longest match."""
        lengths = tuple(self.matches(placing).values())
        return lengths.count(max(lengths)) if lengths else 0

    def _matched_blocks(self, placing: Placing, slots: Sequence[int]) -> Sequence[int]:
        matches = self.matches(placing)
        get = matches.get
        return [get(slot, 0) for slot in slots] if matches else [0] * len(slots)

    def _matched_tokens(self, placing: Placing, slots: Sequence[int]) -> Sequence[int]:
        matches = self.matches(placing)
        get, size = matches.get, self.block_tokens
        return [get(slot, 0) * size for slot in slots] if matches else [0] * len(slots)

    def _match_ratio(self, placing: Placing, slots: Sequence[int]) -> Sequence[float]:
        matches, total = self.matches(placing), len(placing.blocks)
        if not matches or not total:
            return [0.0] * len(slots)
        get = matches.get
        return [get(slot, 0) / total for slot in slots]

    # Members and their caches

    def _configured(self, event: Configured, now: float) -> None:
        del now
        self._settings = event.prefix
        self._follow_block_size()
        self._set_capacities()

    def _joined(self, event: EndpointJoined, now: float) -> None:
        del now
        self._members[event.member.id] = event.member

    def _left(self, event: EndpointLeft, now: float) -> None:
        del now
        slot = event.member.slot
        self._members.pop(event.member.id, None)
        self._forget(slot)
        for known in (self._last_cold, self.measured, self._started):
            known.pop(slot, None)

    def _members_changed(self, event: MembersChanged, now: float) -> None:
        del now
        self._present = event.count
        self._set_capacities()

    def _scraped(self, event: Scraped, now: float) -> None:
        del now
        metrics, slot = event.metrics, event.member.slot
        before = self._started.get(slot)
        self._started[slot] = metrics
        if before is not None and has_restarted(before, metrics):
            self._forget(slot)
            self._set_capacity(event.member)
        if before is None or (metrics.block_count, metrics.block_size) != (before.block_count, before.block_size):
            self._follow_block_size()
            self._set_capacity(event.member)

    def _follow_block_size(self) -> None:
        """Blocks of another size mean nothing, so a change forgets them."""
        size = self._settings.block_tokens(self._engines.block_size())
        if size != self.block_tokens:
            self.block_tokens = size
            self.index, self._history = PrefixIndex(), PrefixHistory()
            self._set_capacities()

    def _set_capacities(self) -> None:
        for member in self._members.values():
            self._set_capacity(member)

    def _set_capacity(self, member: Member) -> None:
        metrics = self._engines.metrics(member.slot)
        most = POOL_BLOCKS_LIMIT // max(1, self._present)
        if self._settings.follows_engine and metrics.block_count and metrics.block_size and self.block_tokens:
            tokens = metrics.block_count * metrics.block_size
            blocks = int(tokens / self.token_scale.text) // self.block_tokens
        else:
            blocks = self._settings.capacity_blocks
        self.index.set_capacity(member.slot, min(blocks, most))

    # Requests

    def _placed(self, event: RequestPlaced, now: float) -> None:
        del now
        placement, is_cold = event.placement, not self.matches(event.placing)
        touches: list[Touches] = []
        for share in placement.shares:
            if not share.holds_prompt:
                continue
            if placement.blocks:
                touches.append(self.index.learn(share.member.slot, placement.blocks))
                if self._shared.is_on:
                    self._publish_learned(share.member, placement.blocks)
            if is_cold:
                self._cold += 1
                self._last_cold[share.member.slot] = self._cold
        placement.notes[NOTE] = touches[0] if touches else ()

    def _settled(self, event: RequestSettled, now: float) -> None:
        del now
        placement = event.placement
        if event.outcome is Outcome.UNUSED:
            self._unlearn(placement, new_from=placement.new_from)
        touches = _touches(placement)
        if len(touches) > SETTLED_BLOCKS_LIMIT:
            placement.notes[NOTE] = touches[:SETTLED_BLOCKS_LIMIT]

    def _reported(self, event: RequestReported, now: float) -> None:
        del now
        report = event.report
        if report.has_failed and not report.is_elsewhere:  # what was believed to be there has not helped
            self._unlearn(report.placement, new_from=0)
        elif report.is_elsewhere or report.computed_nothing:
            self._unlearn(report.placement, new_from=report.placement.new_from)
        if report.served is None or report.connect_failed or report.computed_nothing:
            return
        if report.is_elsewhere and report.placement.block_tokens == self.block_tokens:
            self.index.learn(report.served.slot, report.placement.blocks)
            if self._shared.is_on:
                self._publish_learned(report.served, report.placement.blocks)
        if report.is_ok:
            self._correct(report, report.served)

    def _unlearn(self, placement: Placement, *, new_from: int) -> None:
        """The request brought nothing to its endpoints: they do not hold its blocks from this one on."""
        for share in placement.shares:
            if share.holds_prompt and self._members.get(share.member.id) is share.member:
                self.index.unlearn(share.member.slot, placement.blocks, new_from)
                if self._shared.is_on:
                    self._publish_unlearned(share.member, placement.blocks, new_from)

    # What other replicas learn

    def _publish_learned(self, member: Member, blocks: tuple[int, ...]) -> None:
        stamp = self._shared.next_stamp()
        self._history.add(member.slot, Change(stamp, blocks))
        self._shared.publish(PrefixLearned(self._shared.pool, member.id, blocks, stamp))

    def _publish_unlearned(self, member: Member, blocks: tuple[int, ...], start: int) -> None:
        stamp = self._shared.next_stamp()
        self._history.add(member.slot, Change(stamp, blocks, start))
        self._shared.publish(PrefixUnlearned(self._shared.pool, member.id, blocks, start, stamp))

    def _learned_elsewhere(self, event: PrefixLearned, now: float) -> None:
        del now
        self._change(event.endpoint, Change(event.stamp or self._shared.next_stamp(), event.blocks))

    def _unlearned_elsewhere(self, event: PrefixUnlearned, now: float) -> None:
        del now
        self._change(event.endpoint, Change(event.stamp, event.blocks, event.start))

    def _held_elsewhere(self, event: PrefixesHeld, now: float) -> None:
        del now
        member = self._members.get(event.endpoint)
        if member is not None:
            self.index.hold(member.slot, event.parts)

    def facts(self) -> Iterator[PrefixesHeld]:
        """All that is held, for a replica that lacks it."""
        return prefix_facts.held(self._shared.pool, tuple(self._members.values()), self.index)

    def _change(self, endpoint: EndpointId, change: Change) -> None:
        """Take a change, and again those that are later and may contradict it."""
        self._shared.witness(change.stamp)
        member = self._members.get(endpoint)
        if member is None or not change.blocks:
            return
        for each in self._history.add(member.slot, change):
            if each.start is None:
                self.index.learn(member.slot, each.blocks)
            else:
                self.index.unlearn(member.slot, each.blocks, each.start)

    def _forget(self, slot: int) -> None:
        self.index.forget(slot)
        self._history.forget(slot)

    def _correct(self, report: Report, served: Member) -> None:
        feedback, placement = report.feedback, report.placement
        if feedback.prompt_tokens is not None:
            self.token_scale.learn(placement.prompt_tokens, feedback.prompt_tokens, placement.media_tokens)
            self._set_capacity(served)
        if report.is_elsewhere or feedback.cached_tokens is None:
            return
        self.measured[served.slot] = self.measured.get(served.slot, 0) + 1
        stamp = evicted_stamp(report, self.block_tokens)
        if stamp is not None:
            self.index.forget_older(served.slot, stamp)


def evicted_stamp(report: Report, block_tokens: int) -> Stamp | None:
    """Compare the match with the engine's count: the stamp of the first block that it had evicted, None if none.

    Engines evict the least recently used first, so everything older is gone, too. If the engine had more than was
    believed there is nothing to learn: it holds the prompt now. Where exactly its match ended is an estimate, and it
    often ends where a shared prefix does: the block there was touched a moment ago. So the one after it is taken for
    the first missing.
    """
    feedback, placement = report.feedback, report.placement
    cached = feedback.cached_tokens
    if cached is None or placement.block_tokens != block_tokens:
        return None
    # Token counts are estimates: one block of doubt is not evidence.
    if cached + 2 * block_tokens > _expected_tokens(report):
        return None
    scale = placement.prompt_tokens / feedback.prompt_tokens if feedback.prompt_tokens else 1.0
    first_missing = int(cached * scale) // block_tokens + 1
    return stamp_at(_touches(placement), first_missing)


def _expected_tokens(report: Report) -> float:
    """The believed match in the engine's own tokens."""
    feedback, placement = report.feedback, report.placement
    if not feedback.prompt_tokens or not placement.prompt_tokens:
        return placement.matched_tokens
    return placement.matched_tokens * feedback.prompt_tokens / placement.prompt_tokens


def _touches(placement: Placement) -> Touches:
    found = placement.notes.get(NOTE, ())
    return found if isinstance(found, tuple) else ()
