"""KAITO's Workspace and InferenceSet are read. Pure. A Workspace's fields stand beside `metadata`, without a `spec`."""

from gateway.kube.objects import InferenceSet, Meta, ModelNames, Workspace
from gateway.kube.reading.parts import spec_of
from gateway.schema.fields import Fields


def workspace(meta: Meta, top: Fields) -> Workspace:
    top.known("apiVersion", "kind", "metadata", "status", "resource", "tuning")
    inference = top.child("inference")
    top.done()
    return Workspace(meta, _serves(inference), _models(inference))


def inference_set(meta: Meta, top: Fields) -> InferenceSet:
    spec = spec_of(top)
    spec.known("replicas", "nodeCountLimit", "labelSelector", "updateStrategy", "autoUpgrade")
    template = spec.child("template", required=True)
    spec.done()
    inference = template.child("inference", required=True) if template else None
    return InferenceSet(meta, _serves(inference), _models(inference))


def _serves(inference: Fields | None) -> bool:
    return inference is not None and (inference.has("preset") or inference.has("template"))


def _models(inference: Fields | None) -> ModelNames | None:
    """A preset is served under its name in KAITO's catalogue, each adapter under its own."""
    preset = inference.child("preset") if inference else None
    if inference is None or preset is None:
        return None
    base = preset.text("name", required=True)
    sources = (item.child("source", required=True) for item in inference.children("adapters", 64))
    adapters = tuple(name for source in sources if source and (name := source.text("name", required=True)))
    return ModelNames(base, adapters) if base else None
