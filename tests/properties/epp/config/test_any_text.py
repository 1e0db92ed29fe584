"""Any text is a configuration or a ConfigError that names a line; nothing else comes out."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from epp.config import ConfigError, SchedulerConfig, parse_config
from epp.config.catalogue import GATES, KNOWN_UPSTREAM, PARSERS, PLUGINS
from epp.testing import candidate, decide

BODY = {"model": "m", "prompt": "x" * 600}
KEYS = st.sampled_from([
    "apiVersion", "kind", "featureGates", "plugins", "schedulingProfiles", "saturationDetector", "dataLayer", "parser",
    "requestHandler", "flowControl", "name", "type", "parameters", "pluginRef", "weight", "parsers", "sources",
    "extractors", "priorityBands", "priority", "maxBytes", "profiles", "deciders", "conditions", "matchLabels",
    "algorithm", "engineConfigs", "headerName", "blockSize", "prefill", "decode", "threshold", "operator", "value",
    "normalization", "fixedRange", "attribute", "attributeKey", "matchExpressions", "key", "values", "metric",
    "maxValue", "sessionIdConfig", "header", "interval", "power", "k", "headroom", "prefixMatchInfoProducerName",
])  # fmt: skip
WORDS = st.sampled_from([
    "inference.networking.x-k8s.io/v1alpha1", "llm-d.ai/v1alpha1", "EndpointPickerConfig", "1Gi", "200ms", "yes", "=",
    "2026-11-21", "0x1F", "1e999", ".nan", "~", "", "LessThan", "Exists", "threshold", "linear_lower_is_better",
    "waiting-queue", *PLUGINS, *PARSERS, *KNOWN_UPSTREAM, *GATES,
])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def read(text: str) -> None:
    """A configuration that loads also decides: it may refuse, but not fail."""
    found = loaded(text)
    if isinstance(found, SchedulerConfig):
        decided = decide(found, [candidate("a"), candidate("b", waiting=3, kv_usage=0.5)], BODY, before=[BODY])
        assert decided.pick or decided.rejection
    else:
        assert found.problems
        assert all(problem.place.line >= 1 and problem.message for problem in found.problems)


def loaded(text: str) -> SchedulerConfig | ConfigError:
    try:
        return parse_config(text, "any.yaml")
    except ConfigError as error:
        return error


@given(st.text(max_size=80))
@example("a: &x [*x]")
@example("? [1, 2]\n: 3")
@example("a: !!python/object:os.system {}")
@example("a: !!int x")
@example("\x00")
@example("[" * 5000)
@example("a: " + "9" * 5000)
@settings(max_examples=100)
def test_any_text(text: str) -> None:
    read(text)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
@settings(max_examples=150)
def test_any_structure_of_known_words(document: dict[str, object]) -> None:
    head = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}
    read(json.dumps({**head, **document}))


@pytest.mark.parametrize("type_", sorted(PLUGINS))
@given(parameters=st.dictionaries(KEYS, VALUES, max_size=3))
@settings(max_examples=15)
def test_any_parameters(type_: str, parameters: dict[str, object]) -> None:
    head = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}
    read(json.dumps({**head, "plugins": [{"type": type_, "parameters": parameters}]}))
