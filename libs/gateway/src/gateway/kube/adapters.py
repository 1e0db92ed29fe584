"""Which base model serves a model name, from ConfigMaps labelled for the body-based router. Pure.

A ConfigMap's `data.baseModel` names the base; `data.adapters` is a YAML list of names that it serves. A base model
serves its own name. Where two ConfigMaps claim one name, the first by namespace and name wins, and that is a conflict.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import yaml

from gateway.kube.objects import Manifests
from gateway.schema.documents import Problem, what
from gateway.wire.protocol import BBR_MANAGED_LABEL


@dataclass(frozen=True, slots=True)
class BaseModels:
    """Model name → base model name. `conflicts` names what two bases claim."""

    names: Mapping[str, str] = field(default_factory=dict)
    conflicts: tuple[Problem, ...] = ()


def base_models(manifests: Manifests, namespace: str | None = None) -> BaseModels:
    """Read every managed ConfigMap, of one namespace when it is given."""
    names: dict[str, str] = {}
    conflicts: list[Problem] = []
    for name in sorted(manifests.config_maps):
        found = manifests.config_maps[name]
        if not is_managed(found.meta.labels) or namespace not in (None, name.namespace):
            continue
        base = found.data.get("baseModel", "").strip()
        listed = _listed(found.data.get("adapters", ""))
        if not base or isinstance(listed, str):
            continue  # refused when it was read
        conflicts.extend(
            Problem(found.meta.file, found.meta.line, "data", f"{model!r} already belongs to {names[model]!r}")
            for model in (base, *listed)
            if names.setdefault(model, base) != base
        )
    return BaseModels(MappingProxyType(names), tuple(conflicts))


def is_managed(labels: Mapping[str, str]) -> bool:
    """Whether a ConfigMap with these labels maps models."""
    return labels.get(BBR_MANAGED_LABEL) == "true"


def faults(data: Mapping[str, str]) -> Mapping[str, str]:
    """What is wrong with a managed ConfigMap's data, by key."""
    listed = _listed(data.get("adapters", ""))
    found = {} if data.get("baseModel", "").strip() else {"baseModel": "expected the name of a model, got nothing"}
    return found | ({"adapters": listed} if isinstance(listed, str) else {})


def _listed(text: str) -> tuple[str, ...] | str:
    """The names of a YAML list, or why it is none."""
    try:
        listed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return f"not YAML: {' '.join(str(error).split())}"
    if listed is None:
        return ()
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        return f"expected a YAML list of names, got {what(listed)}"
    return tuple(item.strip() for item in listed if item.strip())
