"""What pools have to show: their models in vLLM's shape, and themselves for people. Pure."""

from collections.abc import Iterable

import orjson

from epp.datalayer.endpoint import EndpointState
from epp.datalayer.pool import PoolState
from epp.domain import PoolId, ServedModel


def list_models(pools: Iterable[PoolState]) -> bytes:
    """`{"object": "list", "data": […]}`: each model once, base models before adapters, by name.

    Where several endpoints serve a model, the item that the first endpoint by address gave stands for all.
    """
    found: dict[str, ServedModel] = {}
    for pool in pools:
        for id_ in sorted(pool.states):
            for model in pool.states[id_].models:
                found.setdefault(model.id, model)
    ordered = sorted(found.values(), key=lambda model: (model.item.get("parent") is not None, model.id))
    return orjson.dumps({"object": "list", "data": [dict(model.item) for model in ordered]})


def describe_pool(id_: PoolId, pool: PoolState, now: float) -> dict[str, object]:
    """A pool as /debug/pools shows it."""
    return {
        "pool": id_,
        "block_tokens": pool.block_tokens,
        "index_blocks": len(pool.index),
        "sessions": len(pool.sessions),
        "endpoints": [_describe_endpoint(pool, state, now) for _, state in sorted(pool.states.items())],
    }


def _describe_endpoint(pool: PoolState, state: EndpointState, now: float) -> dict[str, object]:
    metrics = state.metrics
    return {
        "endpoint": state.id,
        "name": state.endpoint.name,
        "standing": state.health.standing(now).value,
        "reason": state.health.reason,
        "metrics": None if metrics is None else {
            "waiting": metrics.waiting, "running": metrics.running, "kv_usage": metrics.kv_usage,
            "active_adapters": sorted(metrics.active_adapters), "waiting_adapters": sorted(metrics.waiting_adapters),
            "max_adapters": metrics.max_adapters, "block_size": metrics.block_size, "block_count": metrics.block_count,
        },
        "metrics_age": None if state.observed_at is None else round(now - state.observed_at, 3),
        "is_fresh": state.is_fresh(now),
        "scrape_interval": round(state.scrape_interval(now), 3),
        "estimate": {"waiting": state.load.waiting, "running": state.load.running, "kv_usage": state.load.kv_usage},
        "in_flight": state.in_flight,
        "in_flight_tokens": state.in_flight_tokens,
        "backlog_seconds": round(state.backlog(now), 3),
        "prefill_tokens_per_second": round(1 / state.speed.seconds_per_token),
        "decode_seconds_per_token": round(state.speed.decode_seconds_per_token, 5),
        "speed_samples": state.speed.samples,
        "index_blocks": pool.index.held(state.slot),
        "cached_tokens": "measured" if state.measured_cached else "estimated",
        "models": [model.id for model in state.models],
    }  # fmt: skip
