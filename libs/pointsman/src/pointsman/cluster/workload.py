"""What a cluster would run: Pods of a template, that many times. Pure values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.kube.objects import ContainerPort, ObjectName
from gateway.schema.problems import Place


@dataclass(frozen=True, slots=True)
class Source:
    """Where a variable's value comes from: a field of the Pod, or a key of a ConfigMap or Secret."""

    kind: str  # fieldRef, configMapKeyRef, secretKeyRef
    name: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """`source` is None where the value is written out."""

    name: str
    value: str
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume of the Pod at a path of the container; `key` where only one file of it is mounted."""

    volume: str
    path: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """`env_from` are ConfigMaps and Secrets whose every key is a variable."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    env_from: tuple[Source, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True)
class Template:
    """What Pods have in common. `config_volumes` are the ConfigMaps behind the names of volumes."""

    labels: Mapping[str, str]
    containers: tuple[Container, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    config_volumes: Mapping[str, str] = field(default_factory=dict)
    service_account: str = "default"


@dataclass(frozen=True, slots=True)
class Workload:
    """`replicas` Pods that answer requests; of a LeaderWorkerSet those are its leaders."""

    kind: str
    id: ObjectName
    replicas: int
    template: Template
    place: Place = field(default=Place(""), compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    def labels_of(self, index: int) -> Mapping[str, str]:
        """The labels of one Pod, those that the workload's controller adds among them."""
        added: dict[str, str] = {}
        if self.kind == "StatefulSet":
            added = {
                "apps.kubernetes.io/pod-index": str(index),
                "statefulset.kubernetes.io/pod-name": f"{self.id.name}-{index}",
            }
        if self.kind == "LeaderWorkerSet":
            added = {
                "leaderworkerset.sigs.k8s.io/name": self.id.name,
                "leaderworkerset.sigs.k8s.io/group-index": str(index),
                "leaderworkerset.sigs.k8s.io/worker-index": "0",
            }
        return {**self.template.labels, **added}

    def pod_name(self, index: int) -> str:
        """Numbered, so that it is the same at each start; a Pod that stands for itself keeps its name."""
        return self.id.name if self.kind == "Pod" else f"{self.id.name}-{index}"
