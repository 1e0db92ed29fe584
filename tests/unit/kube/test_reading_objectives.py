"""Objectives, rewrites and legacy models, of either group, name their pool."""

import pytest

from gateway.kube.objects import (
    Criticality,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
)
from tests.unit.kube.documents import head, read_one


def test_objectives_rewrites_and_legacy_models_name_their_pool() -> None:
    version = "inference.networking.x-k8s.io/v1alpha2"
    ref = "poolRef: {name: p}"
    objective, *first = read_one(head("InferenceObjective", version) + f"spec: {{priority: -1, {ref}}}\n")
    rewrite, *second = read_one(
        head("InferenceModelRewrite", version) + f"spec: {{{ref}, rules: [{{matches: [{{model: {{value: a}}}}],"
        " targets: [{modelRewrite: b, weight: 2}]}]}\n"
    )
    model, *third = read_one(
        head("InferenceModel", version) + f"spec: {{modelName: m, criticality: Sheddable, {ref},"
        " targetModels: [{name: a, weight: 1}]}\n"
    )

    assert first == second == third == [[], []]
    assert isinstance(objective, InferenceObjective)
    assert isinstance(rewrite, InferenceModelRewrite)
    assert isinstance(model, InferenceModel)
    assert (objective.priority, rewrite.rules[0].models, model.criticality) == (-1, ("a",), Criticality.SHEDDABLE)
    assert objective.pool == rewrite.pool == model.pool == ("default", "p")


@pytest.mark.parametrize(
    "spec", ["{priority: 7, poolRef: {name: p}}", "{poolRef: {group: inference.networking.k8s.io, name: p}}"]
)
def test_an_objective_of_llm_ds_own_group_is_the_same_value(spec: str) -> None:
    both = [
        read_one(head("InferenceObjective", version) + f"spec: {spec}\n")
        for version in ("llm-d.ai/v1alpha2", "inference.networking.x-k8s.io/v1alpha2")
    ]

    assert both[0] == both[1]
    assert isinstance(both[0][0], InferenceObjective)
    assert both[0][1:] == ([], [])


def test_a_rewrite_of_llm_ds_own_group_is_the_same_value() -> None:
    spec = "spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: b}]}]}\n"
    both = [
        read_one(head("InferenceModelRewrite", version) + spec)
        for version in ("llm-d.ai/v1alpha2", "inference.networking.x-k8s.io/v1alpha2")
    ]

    assert both[0] == both[1]
    assert isinstance(both[0][0], InferenceModelRewrite)
    assert both[0][1:] == ([], [])


def test_weights_of_a_legacy_model_are_all_set_or_none() -> None:
    _, problems, _ = read_one(
        head("InferenceModel", "inference.networking.x-k8s.io/v1alpha2")
        + "spec: {modelName: m, poolRef: {name: p}, targetModels: [{name: a, weight: 1}, {name: b}]}\n"
    )

    assert "weights must be set for all, or none" in problems[0]
