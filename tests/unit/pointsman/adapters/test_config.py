"""The file of adapters, as upstream's sidecar reads it."""

import pytest

from pointsman.adapters.config import Adapter, Config, InvalidConfigError, config_of

BARE = """vLLMLoRAConfig:
  name: adapters
  host: models.example
  port: 8001
  defaultBaseModel: base
  ensureExist:
    models:
    - {id: food-review, source: Kawon/food}
    - {id: code, source: /code, base-model: other}
    - {id: moved, source: /moved}
  ensureNotExist:
    models:
    - {id: old, source: Kawon/old}
    - {id: moved}
"""
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  other: x\n  configmap.yaml: |\n" + "".join(
    f"    {line}\n" for line in BARE.splitlines()
)


@pytest.mark.parametrize("text", [BARE, CONFIG_MAP])
def test_it_is_read_bare_and_in_a_config_map(text: str) -> None:
    assert config_of(text, "a.yaml") == Config(
        "models.example",
        8001,
        (Adapter("food-review", "Kawon/food", "base"), Adapter("code", "/code", "other")),
        frozenset({"old", "moved"}),
    )


def test_host_and_port_have_defaults() -> None:
    found = config_of("vLLMLoRAConfig: {}", "a.yaml")

    assert (found.host, found.port, found.exist, found.absent) == ("localhost", 8000, (), frozenset())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1", "no vLLMLoRAConfig in it"),
        ("", "the document is empty"),
        ("{", "not valid YAML"),
        ("kind: ConfigMap\ndata: {a: b}", "no vLLMLoRAConfig in it"),
        ("vLLMLoRAConfig: {port: http}", "vLLMLoRAConfig.port: expected a whole number"),
        ("vLLMLoRAConfig: {ensureExists: {}}", "vLLMLoRAConfig.ensureExists"),
        ("vLLMLoRAConfig: {ensureExist: {models: [{id: a}]}}", "ensureExist.models[0].source: required"),
        ("vLLMLoRAConfig: {ensureExist: {models: [{source: a}]}}", "ensureExist.models[0].id: required"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"a\.yaml") as found:
        config_of(text, "a.yaml")

    assert words in str(found.value)
