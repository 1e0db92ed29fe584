"""A KAITO Workspace is read. Pure. Its fields stand beside `metadata`, without a `spec`."""

from gateway.kube.objects import Meta, Workspace
from gateway.schema.fields import Fields


def workspace(meta: Meta, top: Fields) -> Workspace:
    top.known("apiVersion", "kind", "metadata", "status", "resource", "tuning")
    inference = top.child("inference")
    top.done()
    preset = inference.child("preset") if inference else None
    name = preset.text("name", required=True) if preset else ""
    serves = inference is not None and (preset is not None or inference.has("template"))
    return Workspace(meta, serves, name)
