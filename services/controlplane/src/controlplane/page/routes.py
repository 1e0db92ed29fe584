"""What the page says of routes: from port, host, path and model to backends with their weights. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from controlplane.plan.entries import Backend, Entry
from controlplane.plan.planning import Port
from controlplane.xds.resources.rules import cluster_name
from gateway.kube.objects import InferencePool, PathType, RouteMatch, ValueMatch
from gateway.wire import protocol

Tree = Mapping[str, Any]

SHOWN: Final = 500  # rows; a person searches in no more
_MODEL_HEADERS: Final = frozenset({protocol.MODEL_NAME, protocol.BASE_MODEL_NAME, *protocol.MODEL_NAME_ALIASES})
_SIGNS: Final = {PathType.EXACT: "", PathType.PREFIX: "…", PathType.REGEX: " (pattern)"}


def shown(ports: Sequence[Port]) -> Tree:
    """A row for each match, in the order in which they are tried; `more` were left out."""
    rows = _rows(ports)
    found = [*islice(rows, SHOWN)]
    return {"routes": found, "more": sum(1 for _ in rows)}


def _rows(ports: Sequence[Port]) -> Iterator[Tree]:
    for port in ports:
        for host in port.hosts:
            for entry in host.entries:
                yield {"port": port.bound, "host": host.hostname or "*", **_row(entry)}


def _row(entry: Entry) -> Tree:
    weights = sum(backend.weight for backend in entry.backends)
    return {
        "route": str(entry.route.meta.id),
        "path": f"{entry.match.path.value}{_SIGNS[entry.match.path.type]}",
        "model": ", ".join(_value(each) for each in entry.match.headers if each.name in _MODEL_HEADERS),
        "conditions": _conditions(entry.match),
        "refused": entry.is_refused or entry.is_restricted,
        "backends": [_backend(each, weights) for each in entry.backends],
    }


def _conditions(match: RouteMatch) -> Sequence[str]:
    """What else a request must have."""
    found = [match.method] if match.method else []
    found += [f"{each.name}: {_value(each)}" for each in match.headers if each.name not in _MODEL_HEADERS]
    return [*found, *(f"?{each.name}={_value(each)}" for each in match.query)]


def _value(each: ValueMatch) -> str:
    return f"/{each.value}/" if each.regex else each.value


def _backend(backend: Backend, weights: int) -> Tree:
    """`cluster` is None for one that leads nowhere: its requests get an error."""
    return {
        "name": _name(backend),
        "weight": backend.weight,
        "share": round(backend.weight / weights, 4) if weights else 0.0,
        "cluster": None if backend.is_refused else cluster_name(backend),
        "fault": backend.fault.message if backend.fault is not None else "",
    }


def _name(backend: Backend) -> str:
    target = backend.target
    if target is None:
        return "nothing"
    if backend.ai_backend is not None:
        return f"AIServiceBackend {backend.ai_backend}"
    if isinstance(target, InferencePool):
        return f"InferencePool {target.meta.id}"
    return f"Service {target.id}:{target.port}"
