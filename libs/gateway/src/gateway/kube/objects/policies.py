"""Policies that restrict access, of whatever API: what they target, and what those demand that are enforced here. Pure
values."""

from dataclasses import dataclass

from gateway.kube.objects.access import AccessRules
from gateway.kube.objects.meta import LabelSelector, Meta, ObjectName
from gateway.quotas.rules import Rule


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """What a policy is attached to: an object by name, or objects by label. `section` is a listener or a rule."""

    group: str
    kind: str
    name: str = ""
    section: str = ""
    labels: LabelSelector | None = None


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """A policy that lets some requests pass and not others. Without targets it is for the workloads of its namespace
    that `workloads` selects, as Istio's are. Without `rules` nothing is known of what it demands. `quotas` are those of
    a policy of quotas, None for any other; they are served unless `unserved` says why not."""

    meta: Meta
    kind: str
    targets: tuple[PolicyTarget, ...]
    workloads: LabelSelector
    rules: AccessRules | None = None
    quotas: tuple[Rule, ...] | None = None
    unserved: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.meta.id}"

    @property
    def own_name(self) -> ObjectName:
        """A name that no policy of another kind has."""
        return ObjectName(self.meta.id.namespace, f"{self.kind}/{self.meta.id.name}")
