"""What all routes of a listener share. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.options import Options
from controlplane.plan.lifting import Lifting
from controlplane.plan.pickers import Picker
from controlplane.plan.quotas import PlannedQuotas
from gateway.kube.objects import ObjectName


@dataclass(frozen=True, slots=True)
class Scope:
    """What all routes of a listener share; `name` is that of their configuration."""

    name: str
    pickers: Mapping[ObjectName, Picker]
    lifting: Lifting
    options: Options
    quotas: PlannedQuotas | None = None
    """What requests are counted by; None where they are not, or were before they came here."""
    plain: frozenset[ObjectName] = frozenset()
    """Pools that are spoken to in plain HTTP/1.1, with requests as they are."""
