"""The InferencePool that KAITO's controller makes of a Workspace or InferenceSet, where nobody else has made it. Pure.

The names, labels and ports are those of KAITO. In a cluster the controller's own objects have the same names; an object
that exists always wins.
"""

from typing import Final

from gateway.kube.objects import (
    FailureMode,
    InferencePool,
    InferenceSet,
    LabelSelector,
    Manifests,
    Meta,
    ObjectName,
    PickerRef,
    Workspace,
    manifests_of,
)

WORKSPACE_LABEL: Final = "kaito.sh/workspace"
INFERENCE_SET_LABEL: Final = "inferenceset.kaito.sh/created-by"
POD_INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"
LEADER: Final = "0"  # of the Pods of a StatefulSet, which share one copy of a model, the only one that answers
MODEL_PORT: Final = 5000
PICKER_PORT: Final = 9002


def with_workspaces(manifests: Manifests) -> Manifests:
    """The same objects with the pool of everything of KAITO's that serves a model."""
    made = (
        *(_pool(each, WORKSPACE_LABEL, manifests) for each in manifests.workspaces.values() if each.serves),
        *(_pool(each, INFERENCE_SET_LABEL, manifests) for each in manifests.inference_sets.values() if each.serves),
    )
    missing = [pool for pool in made if pool.meta.id not in manifests.pools]
    if not missing:
        return manifests
    present = (each for by_name in manifests.by_kind() for each in by_name.values())
    return manifests_of((*present, *missing))


def _pool(owner: Workspace | InferenceSet, label: str, manifests: Manifests) -> InferencePool:
    namespace, name = owner.meta.id
    pool = ObjectName(namespace, f"{name}-inferencepool")
    return InferencePool(
        meta=Meta(id=pool, labels={}, annotations={}, created=owner.meta.created, place=owner.meta.place),
        selector=_selector(namespace, {label: name}, manifests),
        target_ports=(MODEL_PORT,),
        h2c=False,
        picker=PickerRef("", "Service", f"{pool.name}-epp", PICKER_PORT, FailureMode.OPEN),
    )


def _selector(namespace: str, labels: dict[str, str], manifests: Manifests) -> LabelSelector:
    """All of them, or the leaders alone where they are Pods of a StatefulSet."""
    indexes = (manifests.slice_index, manifests.pod_index)
    are_numbered = any(
        POD_INDEX_LABEL in found.meta.labels for each in indexes for found in each.select(namespace, labels)
    )
    return LabelSelector(labels | ({POD_INDEX_LABEL: LEADER} if are_numbered else {}))
