"""What belongs to an InferencePool is read: objectives, model rewrites, and the legacy InferenceModel. Pure."""

from typing import Final

from gateway.kube.objects import (
    INFERENCE_GROUP,
    INFERENCE_X_GROUP,
    Criticality,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    Meta,
    ModelRewriteRule,
    ModelTarget,
    ObjectName,
)
from gateway.kube.reading.parts import INT32, MAX_WEIGHT, spec_of
from gateway.schema.fields import Fields

MAX_RULES: Final = 1024  # of a rewrite, and matches and targets of a rule
LONGEST_MODEL_NAME: Final = 256


def _pool_ref(meta: Meta, spec: Fields) -> ObjectName:
    ref = spec.child("poolRef", required=True)
    if ref is None:
        return ObjectName(meta.id.namespace, "")
    ref.choice("group", (INFERENCE_GROUP, INFERENCE_X_GROUP), INFERENCE_GROUP)
    ref.choice("kind", ("InferencePool",), "InferencePool")
    name = ObjectName(meta.id.namespace, ref.name("name", required=True))
    ref.done()
    return name


def objective(meta: Meta, top: Fields) -> InferenceObjective:
    spec = spec_of(top)
    for key in ("modelName", "targetModels"):  # of the InferenceModel that it was before, still written by some
        spec.ignored(key, "without effect here: an InferenceModelRewrite says which models serve a name")
    found = InferenceObjective(meta, _pool_ref(meta, spec), spec.integer("priority", -INT32, INT32, 0) or 0)
    spec.done()
    return found


def model_rewrite(meta: Meta, top: Fields) -> InferenceModelRewrite:
    spec = spec_of(top)
    rules = tuple(_rewrite_rule(rule) for rule in spec.children("rules", MAX_RULES, least=1))
    rewrite = InferenceModelRewrite(meta, _pool_ref(meta, spec), rules)
    spec.done()
    return rewrite


def _rewrite_rule(rule: Fields) -> ModelRewriteRule:
    models: list[str] = []
    for match in rule.children("matches", MAX_RULES):
        model = match.child("model", required=True)
        if model:
            model.choice("type", ("Exact",), "Exact")
            models.append(model.text("value", required=True))
            model.done()
        match.done()
    targets = tuple(_target(item, "modelRewrite") for item in rule.children("targets", MAX_RULES, least=1))
    rule.done()
    return ModelRewriteRule(tuple(models), targets)


def _target(item: Fields, key: str) -> ModelTarget:
    target = ModelTarget(
        item.text(key, required=True, longest=LONGEST_MODEL_NAME), item.integer("weight", 1, MAX_WEIGHT)
    )
    item.done()
    return target


def legacy_model(meta: Meta, top: Fields) -> InferenceModel:
    spec = spec_of(top)
    targets = tuple(_target(item, "name") for item in spec.children("targetModels", 10))
    if len({target.weight is None for target in targets}) > 1:
        spec.problem("targetModels", "weights must be set for all, or none, of the models")
    criticality = (
        spec.choice("criticality", tuple(Criticality), Criticality.STANDARD) if spec.has("criticality") else None
    )
    model = InferenceModel(
        meta=meta,
        pool=_pool_ref(meta, spec),
        model_name=spec.text("modelName", required=True, longest=LONGEST_MODEL_NAME),
        criticality=Criticality(criticality) if criticality else None,
        targets=targets,
    )
    spec.done()
    return model
