"""InferenceObjectives as they are published."""

from pathlib import Path

from gateway.kube.sources.files import load


def test_fields_of_its_forerunner_are_noted(tmp_path: Path) -> None:
    spec = "{poolRef: {name: p}, priority: 1, modelName: m, targetModels: [{name: m-v2, weight: 100}]}"
    text = "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\nmetadata: {name: o}\n"
    (tmp_path / "a.yaml").write_text(f"{text}spec: {spec}\n")
    found = load([tmp_path])

    assert (found.problems, len(found.notes)) == ((), 2)
    assert [each.priority for each in found.manifests.objectives.values()] == [1]
