"""The Inference Extension's kinds: InferencePool, objectives, rewrites and the legacy InferenceModel. Pure values."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.kube.objects.meta import LabelSelector, Meta, ObjectName

PICKER_PORT_DEFAULT: Final = 9002


class FailureMode(StrEnum):
    OPEN = "FailOpen"
    CLOSE = "FailClose"


@dataclass(frozen=True, slots=True)
class PickerRef:
    """endpointPickerRef (v1) or extensionRef (v1alpha2)."""

    group: str
    kind: str
    name: str
    port: int
    failure_mode: FailureMode


@dataclass(frozen=True, slots=True)
class InferencePool:
    meta: Meta
    selector: LabelSelector
    target_ports: tuple[int, ...]
    h2c: bool  # appProtocol kubernetes.io/h2c
    picker: PickerRef | None


@dataclass(frozen=True, slots=True)
class InferenceObjective:
    meta: Meta
    pool: ObjectName
    priority: int


@dataclass(frozen=True, slots=True)
class ModelTarget:
    model: str
    weight: int | None


@dataclass(frozen=True, slots=True)
class ModelRewriteRule:
    """`models` empty: every model."""

    models: tuple[str, ...]
    targets: tuple[ModelTarget, ...]


@dataclass(frozen=True, slots=True)
class InferenceModelRewrite:
    meta: Meta
    pool: ObjectName
    rules: tuple[ModelRewriteRule, ...]


class Criticality(StrEnum):
    CRITICAL = "Critical"
    STANDARD = "Standard"
    SHEDDABLE = "Sheddable"


@dataclass(frozen=True, slots=True)
class InferenceModel:
    """The legacy kind: an objective and a rewrite in one."""

    meta: Meta
    pool: ObjectName
    model_name: str
    criticality: Criticality | None
    targets: tuple[ModelTarget, ...]
