"""KAITO's Workspace, as far as it says which model is served. Pure values."""

from dataclasses import dataclass

from gateway.kube.objects.meta import Meta


@dataclass(frozen=True, slots=True)
class Workspace:
    """`serves`: it runs a model for inference. `preset` is its name in KAITO's catalogue, empty for a template."""

    meta: Meta
    serves: bool
    preset: str
