"""Which base model serves a model name: ConfigMaps for the body-based router say so, and KAITO's objects. Pure.

A base model serves its own name and those of its adapters. Where two objects claim one name, the first by namespace and
name wins, ConfigMaps before others, and that is a conflict.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.kube.objects import Manifests, Meta, ModelNames
from gateway.schema.problems import Problem


@dataclass(frozen=True, slots=True)
class BaseModels:
    """Model name → base model name. `conflicts` names what two bases claim."""

    names: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[Problem, ...] = ()


def base_models(manifests: Manifests, namespace: str | None = None) -> BaseModels:
    """All names, or those of one namespace when it is given."""
    names: dict[str, str] = {}
    conflicts: list[Problem] = []
    for meta, field_name, models in _named(manifests):
        if models is None or namespace not in (None, meta.id.namespace):
            continue
        conflicts.extend(
            Problem(meta.place, field_name, f"{model!r} already belongs to {names[model]!r}")
            for model in (models.base, *models.adapters)
            if names.setdefault(model, models.base) != models.base
        )
    return BaseModels(MappingProxyType(names), tuple(conflicts))


def _named(manifests: Manifests) -> Iterator[tuple[Meta, str, ModelNames | None]]:
    """Every object that may name models, with the field that does."""
    yield from ((found.meta, "data", found.models) for _, found in sorted(manifests.config_maps.items()))
    yield from ((found.meta, "inference", found.models) for _, found in sorted(manifests.workspaces.items()))
    yield from ((found.meta, "spec.template", found.models) for _, found in sorted(manifests.inference_sets.items()))
