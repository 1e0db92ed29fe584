"""A plugin that makes no difference is told of once."""

from collections.abc import Sequence
from random import Random

import orjson
import pytest

from epp.config import parse_config
from epp.config.spellings import LLM_D
from epp.domain import Endpoint, EndpointId, EngineMetrics, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking import inert
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY

POOL = PoolId("a/b")
CONFIG = f"""\
apiVersion: {LLM_D}
kind: EndpointPickerConfig
plugins: [{{type: queue-scorer}}, {{type: lora-affinity-scorer}}, {{type: affinity-gate}}]
schedulingProfiles:
- name: default
  plugins: [{{pluginRef: affinity-gate}}, {{pluginRef: queue-scorer}}, {{pluginRef: lora-affinity-scorer}}]
"""


class Reports(NullObserver):
    def __init__(self) -> None:
        self.inert_plugins: list[list[str]] = []

    def inert(self, plugins: Sequence[str], decisions: int) -> None:
        self.inert_plugins.append(list(plugins))


def reports(monkeypatch: pytest.MonkeyPatch, endpoints: int, *, explains: bool = False) -> tuple[Picker, Reports]:
    monkeypatch.setattr(inert, "DECISIONS", 20)
    observer = Reports()
    made = Picker(parse_config(CONFIG, "x"), random=Random(1), replica="r", observer=observer, explains=explains)
    there = tuple(Endpoint(EndpointId(f"10.0.0.{at}:8000"), f"10.0.0.{at}", 8000, "e") for at in range(endpoints))
    made.replace_pools({POOL: PoolSpec(POOL, there)}, 0.0)
    for endpoint in there:
        made.scraped(POOL, endpoint.id, EngineMetrics(0, 0, 0.0), 0.0)
    return made, observer


def ask(made: Picker, count: int) -> None:
    body = orjson.dumps({"model": "m", "prompt": "hi"})
    picks = []
    for number in range(count):
        verdict = made.submit(Request(POOL, "POST", "/v1/completions", {}, body), NOBODY, 1.0 + number / 1000)
        assert isinstance(verdict, Pick)
        picks.append(verdict.id)
        if len(picks) > 5:
            made.settle(picks.pop(0), Outcome.ENDED, 1.0 + number / 1000)


@pytest.mark.parametrize("explains", [False, True])
def test_plugins_that_changed_no_decision_are_reported_once(monkeypatch: pytest.MonkeyPatch, explains: bool) -> None:
    made, observer = reports(monkeypatch, 3, explains=explains)
    ask(made, 20 * inert.ONE_OF - 1 - inert.ONE_OF)
    assert observer.inert_plugins == []
    ask(made, 100 * inert.ONE_OF)
    assert [sorted(each) for each in observer.inert_plugins] == [["affinity-gate", "lora-affinity-scorer"]]


def test_another_configuration_is_looked_at_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made, observer = reports(monkeypatch, 3)
    ask(made, 25 * inert.ONE_OF)
    made.reconfigure(parse_config(CONFIG, "x"), 5.0)
    ask(made, 25 * inert.ONE_OF)
    assert len(observer.inert_plugins) == 2


def test_with_one_endpoint_there_is_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    made, observer = reports(monkeypatch, 1)
    ask(made, 50 * inert.ONE_OF)
    assert observer.inert_plugins == []
