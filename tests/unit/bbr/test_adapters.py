"""Which base model serves a name, from ConfigMaps."""

from pathlib import Path

from gateway.adapters import base_models
from gateway.manifests.load import load

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


def read(folder: Path, *maps: str, namespace: str | None = None):
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
    assert found.problems == ()


def test_several_maps_may_name_one_base(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("a", "qwen", "food"), config_map("b", "qwen", "code"))
    assert found.names == {"qwen": "qwen", "food": "qwen", "code": "qwen"}
    assert found.problems == ()


def test_an_adapter_of_two_bases_belongs_to_the_first_and_is_a_problem(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("b", "phi", "food"), config_map("a", "qwen", "food"))
    assert found.names["food"] == "qwen"
    assert ["food" in problem.message for problem in found.problems] == [True]


def test_unmanaged_maps_and_other_namespaces_do_not_count(tmp_path: Path) -> None:
    maps = (config_map("a", "qwen", managed="false"), config_map("b", "phi", namespace="other"))
    assert read(tmp_path, *maps).names == {"phi": "phi"}
    assert read(tmp_path, *maps, namespace="default").names == {}


def test_a_list_that_is_none_is_a_problem_and_the_base_still_counts(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("a", "qwen").replace("# none", "one: two"))
    assert found.names == {"qwen": "qwen"}
    assert "list of names" in found.problems[0].message
    found = read(tmp_path, config_map("a", "qwen").replace("# none", "'"))
    assert "not YAML" in found.problems[0].message


def test_a_map_without_a_base_is_a_problem(tmp_path: Path) -> None:
    found = read(tmp_path, config_map("a", "''"))
    assert found.names == {}
    assert found.problems[0].field == "data.baseModel"
