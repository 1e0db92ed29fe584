"""What runs Pods in a cluster, by their labels: Deployments, StatefulSets, LeaderWorkerSets. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.kube.objects.meta import Meta, ObjectName


@dataclass(frozen=True, slots=True)
class Workload:
    """`pod_labels` are those of the Pods that answer requests: of a LeaderWorkerSet its leaders."""

    meta: Meta
    kind: str
    pod_labels: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.kind} {self.meta.id}"

    @property
    def own_name(self) -> ObjectName:
        """A name that no workload of another kind has."""
        return ObjectName(self.meta.id.namespace, f"{self.kind}/{self.meta.id.name}")
