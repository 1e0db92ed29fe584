"""What a pool holds, for others: its endpoints for /debug/pools, its models. Pure."""

from collections.abc import Iterator
from typing import Final

from epp.config import SchedulerConfig
from epp.datalayer.builtin import Builtin
from epp.datalayer.member import Member
from epp.datalayer.pool import PoolState
from epp.datalayer.standing.endpoint import Condition, Standing
from epp.domain import PoolId, ServedModel
from epp.picking import capacity
from gateway.wire import protocol

_LEFT: Final = Condition(Standing.DRAINING, 0.0, "left the pool")
_DRAINED: Final = Condition(Standing.DRAINING, 0.0, "is about to stop")
PoolParts = tuple[PoolState, Builtin]


def served_models(parts: PoolParts) -> Iterator[ServedModel]:
    """What the endpoints of a pool serve, by address."""
    pool, known = parts
    for _, member in sorted(pool.roster.members.items()):
        yield from known.engines.models(member.slot)


def describe_pool(id_: PoolId, parts: PoolParts, config: SchedulerConfig, now: float) -> dict[str, object]:
    """A pool as /debug/pools shows it. Endpoints that have left or are about to stop are there, draining: those while
    they have requests, these for as long as anything is known of them."""
    pool, known = parts
    drained = [member for member in pool.departures if member.endpoint in pool.drains]
    conditions = {**dict.fromkeys((each.id for each in drained), _DRAINED), **pool.roster.conditions(now)}
    shown = {member.id: member for member in (*pool.departures.draining(), *drained)} | pool.roster.members
    return {
        "pool": id_,
        "block_tokens": known.prefixes.block_tokens,
        "index_blocks": len(known.prefixes.index),
        "tokens_per_estimated": {
            "text": round(known.prefixes.token_scale.text, 3),
            "media": round(known.prefixes.token_scale.media, 3),
        },
        "capacity": capacity.describe(config, known, [*pool.roster.members.values()], now),
        "sessions": len(known.sessions.sessions),
        "endpoints": [
            {**_describe_endpoint(known, member, conditions.get(id_, _LEFT), now), "scraped": pool.scraped_by.get(id_)}
            for id_, member in sorted(shown.items())
        ],
    }


def _describe_endpoint(known: Builtin, member: Member, condition: Condition, now: float) -> dict[str, object]:
    slot = member.slot
    load, prefill = known.load.of(slot, now), known.prefill.of(slot)
    metrics, speed = load.metrics, prefill.speed
    return {
        "endpoint": member.id,
        "name": member.endpoint.name,
        "simulated": protocol.SIMULATED_LABEL in member.endpoint.labels,
        "standing": condition.standing.value,
        "share": round(condition.share, 3),
        "reason": condition.reason,
        "metrics": None if metrics is None else {
            "waiting": metrics.waiting, "running": metrics.running, "kv_usage": metrics.kv_usage,
            "active_adapters": sorted(metrics.active_adapters), "waiting_adapters": sorted(metrics.waiting_adapters),
            "max_adapters": metrics.max_adapters, "block_size": metrics.block_size, "block_count": metrics.block_count,
        },
        "loaded_adapters": known.adapters.loaded(slot),
        "metrics_age": None if load.scraped_at is None else round(now - load.scraped_at, 3),
        "is_fresh": load.is_fresh(now),
        "scrape_interval": round(load.scrape_interval(now), 3),
        "estimate": {"waiting": load.load.waiting, "running": load.load.running, "kv_usage": load.load.kv_usage},
        "in_flight": load.in_flight,
        "in_flight_tokens": load.in_flight_tokens,
        "others_in_flight": load.elsewhere,
        "others_in_flight_tokens": load.elsewhere_tokens,
        "backlog_seconds": round(prefill.backlog(now), 3),
        "encoder_backlog_seconds": round(prefill.encoder_backlog(now), 3),
        "media_tokens_per_second": round(1 / max(speed.seconds_per_media_token, 1e-9)),
        "prefill_tokens_per_second": round(1 / speed.seconds_per_token),
        "decode_seconds_per_token": round(speed.decode_seconds_per_token, 5),
        "speed_samples": speed.samples,
        "index_blocks": known.prefixes.index.held(slot),
        "cached_tokens": "measured" if known.prefixes.measured.get(slot) else "estimated",
        "models": [model.id for model in known.engines.models(slot)],
    }  # fmt: skip
