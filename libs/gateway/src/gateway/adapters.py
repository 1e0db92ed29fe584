"""Which base model serves a model name, from ConfigMaps labelled for the body-based router. Pure.

A ConfigMap's `data.baseModel` names the base; `data.adapters` is a YAML list of names that it serves. A base model
serves its own name. Where two ConfigMaps claim one name, the first by namespace and name wins, and that is a problem.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import yaml

from gateway.manifests.documents import Problem
from gateway.manifests.objects import ConfigMap, Manifests
from gateway.protocol import BBR_MANAGED_LABEL


@dataclass(frozen=True, slots=True)
class BaseModels:
    """Model name → base model name."""

    names: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def base_models(manifests: Manifests, namespace: str | None = None) -> BaseModels:
    """Read every managed ConfigMap, of one namespace when it is given."""
    names: dict[str, str] = {}
    problems: list[Problem] = []
    for name in sorted(manifests.config_maps):
        found = manifests.config_maps[name]
        if found.meta.labels.get(BBR_MANAGED_LABEL) != "true" or namespace not in (None, name.namespace):
            continue
        base = found.data.get("baseModel", "").strip()
        if not base:
            problems.append(_problem(found, "data.baseModel", "expected the name of a model, got nothing"))
            continue
        claimed = [base, *_adapters(found, problems)]
        problems.extend(
            _problem(found, "data.adapters", f"{model!r} already belongs to {names[model]!r}")
            for model in claimed
            if names.setdefault(model, base) != base
        )
    return BaseModels(MappingProxyType(names), tuple(problems))


def _adapters(found: ConfigMap, problems: list[Problem]) -> list[str]:
    try:
        listed = yaml.safe_load(found.data.get("adapters", ""))
    except yaml.YAMLError as error:
        problems.append(_problem(found, "data.adapters", f"not YAML: {error}"))
        return []
    if listed is None:
        return []
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        problems.append(_problem(found, "data.adapters", f"expected a YAML list of names, got {listed!r}"))
        return []
    return [item.strip() for item in listed if item.strip()]


def _problem(found: ConfigMap, field: str, message: str) -> Problem:
    return Problem(found.meta.file, found.meta.line, field, message)
