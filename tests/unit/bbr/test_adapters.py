"""Which base model serves a name, from ConfigMaps."""

from pathlib import Path

import pytest

from gateway.kube.resolution.base_models import BaseModels, base_models
from gateway.kube.sources.files import load

MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  namespace: {namespace}
  labels: {{inference.networking.k8s.io/bbr-managed: "{managed}"}}
data:
  baseModel: {base}
  adapters: |
{adapters}
---
"""


def read(folder: Path, *maps: str, namespace: str | None = None) -> BaseModels:
    (folder / "maps.yaml").write_text("".join(maps))
    loaded = load([folder])
    assert loaded.problems == ()
    return base_models(loaded.manifests, namespace)


def config_map(name: str, base: str, *adapters: str, managed: str = "true", namespace: str = "default") -> str:
    listed = "\n".join(f"    - {adapter}" for adapter in adapters) or "    # none"
    return MAP.format(name=name, base=base, adapters=listed, managed=managed, namespace=namespace)


def test_a_base_model_serves_itself_and_its_adapters(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("a", "qwen", "food", " code "), config_map("b", "phi"))
    assert found.names == {"qwen": "qwen", "food": "qwen", "code": "qwen", "phi": "phi"}
    assert found.conflicts == ()


def test_several_maps_may_name_one_base(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("a", "qwen", "food"), config_map("b", "qwen", "code"))
    assert found.names == {"qwen": "qwen", "food": "qwen", "code": "qwen"}
    assert found.conflicts == ()


def test_an_adapter_of_two_bases_belongs_to_the_first_and_is_a_conflict(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("b", "phi", "food"), config_map("a", "qwen", "food"))
    assert found.names["food"] == "qwen"
    assert ["food" in problem.message for problem in found.conflicts] == [True]


def test_unmanaged_maps_and_other_namespaces_do_not_count(tmp_path: Path) -> None:
    maps = (config_map("a", "qwen", managed="false"), config_map("b", "phi", namespace="other"))
    assert read(tmp_path, *maps).names == {"phi": "phi"}
    assert read(tmp_path, *maps, namespace="default").names == {}


@pytest.mark.parametrize(
    ("written", "line", "field", "words"),
    [
        (config_map("a", "qwen").replace("# none", "one: two"), 10, "data.adapters", "list of names"),
        (config_map("a", "qwen").replace("# none", "'"), 10, "data.adapters", "not valid YAML"),
        (config_map("a", "''"), 9, "data.baseModel", "expected the name of a model"),
    ],
)
def test_a_map_that_cannot_be_read_is_a_problem_at_its_field(
    tmp_path: Path, written: str, line: int, field: str, words: str
) -> None:
    (tmp_path / "maps.yaml").write_text(written)
    (problem,) = load([tmp_path]).problems
    assert (problem.place.line, problem.field) == (line, field)
    assert words in problem.message


def test_a_map_that_is_not_managed_holds_what_it_likes(tmp_path: Path) -> None:
    assert read(tmp_path, config_map("a", "''", managed="false")).names == {}
