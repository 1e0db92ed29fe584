"""Which models are asked of a pool or an AIServiceBackend, by the routes that lead there. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gateway.kube.objects import BackendRef, HTTPRoute, Manifests, ObjectName, RouteRule
from gateway.wire import protocol

MODEL_HEADERS: Final = frozenset({protocol.MODEL_NAME, protocol.BASE_MODEL_NAME, *protocol.MODEL_NAME_ALIASES})


def models_of_pool(pool: ObjectName, manifests: Manifests) -> tuple[str, ...]:
    """By headers of routes and by InferenceModels; empty where nothing names one."""
    found = [*_of_routes(manifests.routes.values(), lambda ref: ref.id == pool and _may_be_pool(ref))]
    through = {name for name, each in manifests.ai_backends.items() if each.backend.is_pool and each.backend.id == pool}
    for model in manifests.models.values():
        if model.pool in {pool, *through}:
            found += [target.model for target in model.targets] or [model.model_name]
    return tuple(dict.fromkeys(found))


def models_of_backend(backend: ObjectName, manifests: Manifests) -> tuple[str, ...]:
    """The same of an AIServiceBackend, and of the pools that select it."""
    found = [*_of_routes(manifests.routes.values(), lambda ref: _written(ref) == ("AIServiceBackend", backend))]
    labels = manifests.ai_backends[backend].meta.labels
    for name, pool in manifests.pools.items():
        if name.namespace == backend.namespace and pool.selector.matches(labels):
            found += models_of_pool(name, manifests)
    return tuple(dict.fromkeys(found))


def _may_be_pool(ref: BackendRef) -> bool:
    return ref.is_pool or ref.is_bare


def _written(ref: BackendRef) -> tuple[str, ObjectName]:
    return (ref.written.kind, ref.written.id) if ref.written is not None else (ref.kind, ref.id)


def _of_routes(routes: Iterable[HTTPRoute], leads: Callable[[BackendRef], bool]) -> Iterator[str]:
    for route in routes:
        for rule in route.rules:
            for ref in rule.backends:
                if leads(ref):
                    yield from _renamed(ref) or _matched(rule)


def _renamed(ref: BackendRef) -> list[str]:
    """The name that a request's model is replaced by."""
    return [str(json.loads(value)) for name, value in ref.changes.fields if name == "model"]


def _matched(rule: RouteRule) -> list[str]:
    headers = (header for match in rule.matches for header in match.headers)
    return [header.value for header in headers if header.name in MODEL_HEADERS and not header.regex]
