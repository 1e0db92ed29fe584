"""Which base model serves a model name, from ConfigMaps labelled for the body-based router. Pure.

A base model serves its own name and those of its adapters. Where two ConfigMaps claim one name, the first by namespace
and name wins, and that is a conflict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.kube.objects import Manifests
from gateway.schema.problems import Problem


@dataclass(frozen=True, slots=True)
class BaseModels:
    """Model name → base model name. `conflicts` names what two bases claim."""

    names: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[Problem, ...] = ()


def base_models(manifests: Manifests, namespace: str | None = None) -> BaseModels:
    """The names of every labelled ConfigMap, of one namespace when it is given."""
    names: dict[str, str] = {}
    conflicts: list[Problem] = []
    for name in sorted(manifests.config_maps):
        found = manifests.config_maps[name]
        if found.models is None or namespace not in (None, name.namespace):
            continue
        base = found.models.base
        conflicts.extend(
            Problem(found.meta.place, "data", f"{model!r} already belongs to {names[model]!r}")
            for model in (base, *found.models.adapters)
            if names.setdefault(model, base) != base
        )
    return BaseModels(MappingProxyType(names), tuple(conflicts))
