"""Deployments, StatefulSets and LeaderWorkerSets are read for the labels of their Pods, and nothing else. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.kube.objects import Meta, Workload
from gateway.schema.fields import Fields

Reader = Callable[[Meta, Fields], Workload]

_APPS: Final = "apps"
_LEADER_WORKER_GROUP: Final = "leaderworkerset.x-k8s.io"
# Below `spec`: where the template of the Pods stands that answer requests, the first of those that are written.
_TEMPLATES: Final[Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]] = MappingProxyType({
    (_APPS, "Deployment"): (("template",),),
    (_APPS, "StatefulSet"): (("template",),),
    (_LEADER_WORKER_GROUP, "LeaderWorkerSet"): (
        ("leaderWorkerTemplate", "leaderTemplate"), ("leaderWorkerTemplate", "workerTemplate"),
    ),
})  # fmt: skip


def _reader(kind: str, paths: tuple[tuple[str, ...], ...]) -> Reader:
    def workload(meta: Meta, top: Fields) -> Workload:
        templates = (_below(top.child("spec"), path) for path in paths)
        template = next((found for found in templates if found is not None), None)
        metadata = template.child("metadata") if template else None
        return Workload(meta, kind, metadata.strings("labels") if metadata else {})

    return workload


def _below(item: Fields | None, path: tuple[str, ...]) -> Fields | None:
    for key in path:
        item = item.child(key) if item is not None else None
    return item


READERS: Final[Mapping[tuple[str, str], Reader]] = MappingProxyType({
    (group, kind): _reader(kind, paths) for (group, kind), paths in _TEMPLATES.items()
})  # fmt: skip
