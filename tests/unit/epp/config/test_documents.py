"""What the documents show is what the code does."""

import re
from pathlib import Path

from epp.config.defaults import DEFAULT_TEXT
from epp.testing import candidate, decide

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_the_default_configuration_is_shown_as_it_is() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", (DOCS / "scheduling.md").read_text(), re.DOTALL)
    assert shown == DEFAULT_TEXT


def test_the_example_of_one_decision_without_servers_holds() -> None:
    config = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: queue-scorer}]\n"
    decided = decide(config, [candidate("a", waiting=9), candidate("b")], {"model": "m", "prompt": "hi"})
    assert decided.targets == ("b",)
    assert decided.scores["queue-scorer"] == {"a": 0.0, "b": 1.0}
