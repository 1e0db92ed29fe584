"""A producer that a package of the user's own brings: it handles events, and plugins read its columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson
import pytest

from epp.config import ConfigError, parse_config
from epp.datalayer.events import RequestPlaced
from epp.datalayer.producer import Column, Handlers
from epp.domain import Endpoint, EndpointId, EngineMetrics, Feedback, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver, PickObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from tests.conftest import ROOT

POOL = PoolId("default/pool")
IDS = [EndpointId(f"10.0.0.{number}:8000") for number in (1, 2)]
CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: fewest-failures}]
"""


def shown() -> dict[str, Any]:
    """What the example of docs/plugins.md defines."""
    section = (ROOT / "docs" / "plugins.md").read_text().partition("## A producer of your own")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(code.splitlines()) <= 32
    names: dict[str, Any] = {"__name__": "my_plugins"}
    exec(compile(code, "my_plugins.py", "exec"), names)
    return names


def picker(own: Mapping[str, type[Any]], text: str = CONFIG, observer: PickObserver | None = None) -> Picker:
    config = parse_config(text, "x.yaml", own)
    made = Picker(config, random=Random(1), replica="r", observer=observer or NullObserver())
    made.replace_pools({POOL: PoolSpec(POOL, tuple(Endpoint(id_, "h", 1, "n") for id_ in IDS))}, 0.0)
    for id_ in IDS:
        made.scraped(POOL, id_, EngineMetrics(0, 0, 0.0), 0.5)
    return made


def pick(made: Picker, now: float) -> Pick:
    body = orjson.dumps({"model": "m", "prompt": "hi"})
    verdict = made.submit(Request(POOL, "POST", "/v1/completions", {}, body), NOBODY, now)
    assert isinstance(verdict, Pick)
    return verdict


def test_the_producer_that_the_page_shows_decides() -> None:
    made = picker({"fewest-failures": shown()["FewestFailures"]})
    failed = pick(made, 1.0)
    made.settle(failed.id, Outcome.ENDED, 1.1)
    made.observe(Feedback(failed.id, POOL, True, served=failed.targets[0], status=500), 1.2)

    for step in range(20):
        chosen = pick(made, 2.0 + step)
        made.settle(chosen.id, Outcome.ENDED, 2.5 + step)
        assert chosen.targets != failed.targets


@dataclass(frozen=True, slots=True)
class OnlyProducer:
    """Brings a column that nobody reads."""

    def producer(self, pool: PoolId) -> "OnlyProducer":
        return self

    def handles(self) -> Handlers:
        return {}

    def columns(self) -> Mapping[str, Column]:
        return {"unread": lambda _, slots: [0] * len(slots)}


def test_a_producer_needs_no_other_role_and_takes_no_part_in_profiles() -> None:
    made = picker({"only-producer": OnlyProducer}, CONFIG.replace("fewest-failures", "only-producer"))

    assert pick(made, 1.0).pool == POOL
    with pytest.raises(ConfigError, match=r"is no filter, scorer or picker"):
        parse_config(
            CONFIG.replace("fewest-failures", "only-producer")
            + "schedulingProfiles: [{name: a, plugins: [{pluginRef: only-producer}]}]\n",
            "x.yaml",
            {"only-producer": OnlyProducer},
        )


@dataclass(frozen=True, slots=True)
class FailingProducer:
    """Fails at each event, and its column does, too."""

    def producer(self, pool: PoolId) -> "FailingProducer":
        return self

    def handles(self) -> Handlers:
        return {RequestPlaced: self.fail}

    def columns(self) -> Mapping[str, Column]:
        return {"failing": lambda _, slots: [1 / 0 for _ in slots]}

    def fail(self, event: RequestPlaced, now: float) -> None:
        raise KeyError(event.placement.id)

    def score(self, view: Any) -> Sequence[float]:
        scores: Sequence[float] = view.column("failing")
        return scores


@dataclass(frozen=True, slots=True)
class UnmakeableProducer:
    """Cannot be made."""

    def producer(self, pool: PoolId) -> "UnmakeableProducer":
        raise OSError(f"no store for {pool}")


class Failures(NullObserver):
    """Remembers which plugins failed."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []

    def failed(self, plugin: str, error: str, *, is_first: bool) -> None:
        self.failures.append((plugin, error.partition(":")[0]))


@pytest.mark.parametrize(
    ("cls", "failures"),
    [
        (FailingProducer, [("own", "ZeroDivisionError"), ("own", "KeyError")]),
        (UnmakeableProducer, [("own", "OSError")]),
    ],
)
def test_a_producer_that_fails_costs_no_request_its_endpoint(cls: type[Any], failures: list[tuple[str, str]]) -> None:
    observer = Failures()
    made = picker({"own": cls}, CONFIG.replace("fewest-failures", "own"), observer)

    assert pick(made, 1.0).pool == POOL
    assert observer.failures == failures


def test_a_column_that_nobody_offers_is_none_for_each_candidate() -> None:
    @dataclass(frozen=True, slots=True)
    class Reader:
        def score(self, view: Any) -> list[float]:
            return [1.0 if value is None else 0.0 for value in view.column("missing")]

    made = picker({"reader": Reader}, CONFIG.replace("fewest-failures", "reader"))
    pick(made, 1.0)

    assert made.decisions.latest(1)[0]["margin"] == 0.0
