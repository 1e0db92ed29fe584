"""What KAITO's controller makes of a Workspace, where nobody else has made it: its InferencePool. Pure.

The names, labels and ports are those of KAITO 0.7. In a cluster the controller's own objects have the same names; an
object that exists always wins.
"""

from typing import Final

from gateway.kube.objects import (
    FailureMode,
    InferencePool,
    LabelSelector,
    Manifests,
    Meta,
    ObjectName,
    PickerRef,
    Workspace,
    manifests_of,
)

WORKSPACE_LABEL: Final = "kaito.sh/workspace"
MODEL_PORT: Final = 5000
PICKER_PORT: Final = 9002


def with_workspaces(manifests: Manifests) -> Manifests:
    """The same objects with the pool of every Workspace that serves a model."""
    made = [_pool(workspace) for workspace in manifests.workspaces.values() if workspace.serves]
    missing = [pool for pool in made if pool.meta.id not in manifests.pools]
    if not missing:
        return manifests
    present = (each for by_name in manifests.by_kind() for each in by_name.values())
    return manifests_of((*present, *missing))


def _pool(workspace: Workspace) -> InferencePool:
    namespace, name = workspace.meta.id
    pool = ObjectName(namespace, f"{name}-inferencepool")
    return InferencePool(
        meta=Meta(id=pool, labels={}, annotations={}, created=workspace.meta.created, place=workspace.meta.place),
        selector=LabelSelector({WORKSPACE_LABEL: name}),
        target_ports=(MODEL_PORT,),
        h2c=False,
        picker=PickerRef("", "Service", f"{pool.name}-epp", PICKER_PORT, FailureMode.OPEN),
    )
