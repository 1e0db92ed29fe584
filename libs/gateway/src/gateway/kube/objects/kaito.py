"""KAITO's Workspace and InferenceSet, as far as they say which models are served. Pure values."""

from dataclasses import dataclass

from gateway.kube.objects.core import ModelNames
from gateway.kube.objects.meta import Meta


@dataclass(frozen=True, slots=True)
class Workspace:
    """`serves`: it runs a model for inference. `models` is None where a Pod template says which."""

    meta: Meta
    serves: bool
    models: ModelNames | None


@dataclass(frozen=True, slots=True)
class InferenceSet:
    """Workspaces alike, made of one template."""

    meta: Meta
    serves: bool
    models: ModelNames | None
