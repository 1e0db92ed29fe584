"""A plugin of somebody's own that raises, or answers nonsense, costs no request its endpoint, and is told of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.config import parse_config
from epp.domain import Endpoint, EndpointId, EngineMetrics, Pick, PoolId, PoolSpec, Request, Ticket, Verdict
from epp.picking.observer import NullObserver, PickObserver
from epp.picking.picker import Picker
from epp.prompts.request import InferenceRequest
from epp.scheduling.plugin import Decision, Profile, Trace
from epp.scheduling.profile import run_profile
from epp.scheduling.view import SchedulingView
from epp.telemetry.metrics import Metrics
from epp.testing import NOBODY, candidate, decide
from gateway.wire.errors import ErrorCode, Rejection
from tests.unit.epp.views import view_of

POOL = PoolId("default/pool")
IDS = tuple(EndpointId(f"10.0.0.{number}:8000") for number in range(3))
HEAD = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n"


@dataclass(frozen=True, slots=True)
class FailingFilter:
    """Fails."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        raise ValueError(f"no zone for {len(view)}")


@dataclass(frozen=True, slots=True)
class ShortFilter:
    """Answers for one candidate."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        return [False]


@dataclass(frozen=True, slots=True)
class FailingScorer:
    """Fails."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        return [1 / 0]


@dataclass(frozen=True, slots=True)
class WordyScorer:
    """Answers with words."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        answer: Any = ["best"] * len(view)
        return answer  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class LongScorer:
    """Answers for one candidate too many."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        return [1.0] * (len(view) + 1)


class Undecided:
    """An answer that is neither true nor false."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@dataclass(frozen=True, slots=True)
class UndecidedFilter:
    """Answers neither yes nor no."""

    def keep(self, view: SchedulingView) -> Sequence[bool]:
        answer: Any = [Undecided()] * len(view)
        return answer  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class UndecidedAdmitter:
    """Answers neither yes nor no."""

    def admits(self, view: SchedulingView) -> bool:
        answer: Any = Undecided()
        return answer  # type: ignore[no-any-return]


class UnspeakableError(Exception):
    """Cannot even be told."""

    def __str__(self) -> str:
        raise ValueError("no words")


@dataclass(frozen=True, slots=True)
class UnspeakableScorer:
    """Fails, and its error does, too."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        raise UnspeakableError


@dataclass(frozen=True, slots=True)
class DecimalScorer:
    """Scores by another kind of number: the first candidate is the best."""

    def score(self, view: SchedulingView) -> Sequence[float]:
        answer: Any = [Decimal(1), *[Decimal("0.25")] * (len(view) - 1)]
        return answer  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class FailingPicker:
    """Fails."""

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        raise KeyError("zone")


@dataclass(frozen=True, slots=True)
class StrayPicker:
    """Chooses somebody who is not there."""

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        return [len(scores)]


@dataclass(frozen=True, slots=True)
class FailingAdmitter:
    """Fails."""

    def admits(self, view: SchedulingView) -> bool:
        raise OSError("no answer")


@dataclass(frozen=True, slots=True)
class FailingDecider:
    """Fails."""

    def decides(self, view: SchedulingView, position: int) -> bool:
        raise OSError("no answer")


@dataclass(frozen=True, slots=True)
class UndecidedDecider:
    """Answers neither yes nor no."""

    def decides(self, view: SchedulingView, position: int) -> bool:
        answer: Any = Undecided()
        return answer  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class FailingDetector:
    """Fails."""

    def saturation(self, view: SchedulingView) -> float:
        raise OSError("no answer")


@dataclass(frozen=True, slots=True)
class FailingHandler:
    """Fails."""

    def run(self, profiles: Mapping[str, Profile], view: SchedulingView, trace: Trace) -> Decision | Rejection:
        raise RuntimeError("lost")

    def check(self, profiles: Sequence[str]) -> str | None:
        return None


@dataclass(frozen=True, slots=True)
class SilentHandler(FailingHandler):
    """Answers nothing."""

    def run(self, profiles: Mapping[str, Profile], view: SchedulingView, trace: Trace) -> Decision | Rejection:
        answer: Any = None
        return answer  # type: ignore[no-any-return]


OWN: Mapping[str, type[Any]] = {
    "undecided-filter": UndecidedFilter,
    "undecided-admitter": UndecidedAdmitter,
    "unspeakable-scorer": UnspeakableScorer,
    "decimal-scorer": DecimalScorer,
    "silent-handler": SilentHandler,
    "failing-decider": FailingDecider,
    "undecided-decider": UndecidedDecider,
    "failing-filter": FailingFilter,
    "short-filter": ShortFilter,
    "failing-scorer": FailingScorer,
    "wordy-scorer": WordyScorer,
    "long-scorer": LongScorer,
    "failing-picker": FailingPicker,
    "stray-picker": StrayPicker,
    "failing-admitter": FailingAdmitter,
    "failing-detector": FailingDetector,
    "failing-handler": FailingHandler,
}


class FailureObserver(NullObserver):
    """Remembers who failed."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, str, bool]] = []

    def failed(self, plugin: str, error: str, *, is_first: bool) -> None:
        self.failures.append((plugin, error, is_first))


def config(*plugins: str, extra: str = "") -> str:
    """Each of them beside queue-scorer."""
    return f"{HEAD}plugins: [{', '.join(f'{{type: {each}}}' for each in (*plugins, 'queue-scorer'))}]\n{extra}"


def picker(text: str, observer: PickObserver, *, explains: bool = False, priority: int = 0) -> Picker:
    """Three endpoints, of which the last waits least."""
    made = Picker(
        parse_config(text, "x.yaml", OWN), random=Random(1), replica="r", observer=observer,
        explains=explains,
    )  # fmt: skip
    made.replace_pools({POOL: PoolSpec(POOL, tuple(Endpoint(id_, "h", 1, "n") for id_ in IDS), {"o": priority})}, 0.0)
    for waiting, id_ in enumerate(reversed(IDS)):
        made.scraped(POOL, id_, EngineMetrics(10 * waiting, 0, 0.0), 0.5)
    return made


def ask(made: Picker) -> Verdict:
    body = orjson.dumps({"model": "m", "prompt": "hi"})
    headers = {"x-gateway-inference-objective": "o", "x-request-id": "one"}
    verdict = made.submit(Request(POOL, "POST", "/v1/completions", headers, body), NOBODY, 1.0)
    assert not isinstance(verdict, Ticket)
    return verdict


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("failing-filter", "ValueError: no zone for 3 ("),
        ("short-filter", "ValueError: expected 3 answers, one for each candidate, got 1 ("),
        ("failing-scorer", "ZeroDivisionError: division by zero ("),
        ("wordy-scorer", "TypeError: "),
        ("long-scorer", "ValueError: expected 3 answers, one for each candidate, got 4 ("),
        ("undecided-filter", "ValueError: ambiguous ("),
        ("failing-picker", "KeyError: 'zone' ("),
        ("stray-picker", "ValueError: expected positions below 3, each once, got [3] ("),
        ("failing-admitter", "OSError: no answer ("),
        ("undecided-admitter", "ValueError: ambiguous ("),
    ],
)
def test_the_others_decide_where_a_plugin_fails(type_: str, expected: str) -> None:
    observer = FailureObserver()
    made = picker(config(type_), observer)

    verdict = ask(made)

    assert isinstance(verdict, Pick)
    assert verdict.targets == (IDS[-1],)
    ((_, error, is_first),) = observer.failures
    assert error.startswith(expected)
    assert is_first


def test_an_error_that_cannot_be_put_into_words_is_told_by_its_type_and_place() -> None:
    observer = FailureObserver()

    assert isinstance(ask(picker(config("unspeakable-scorer"), observer)), Pick)
    ((_, error, _),) = observer.failures
    assert "UnspeakableError: <exception str() failed> (" in error
    assert "test_failing_plugins.py:" in error


@pytest.mark.parametrize("part", ["prefill", "encode"])
@pytest.mark.parametrize("type_", ["failing-decider", "undecided-decider"])
def test_a_request_is_not_split_where_the_decider_fails(type_: str, part: str) -> None:
    text = (
        f"{HEAD}plugins:\n- {{type: {type_}}}\n- {{type: disagg-profile-handler, parameters: "
        f"{{deciders: {{{part}: {type_}}}}}}}\n- {{type: queue-scorer}}\nschedulingProfiles:\n"
        + "".join(f"- {{name: {name}, plugins: [{{pluginRef: queue-scorer}}]}}\n" for name in ("decode", part))
    )
    observer = FailureObserver()

    verdict = ask(picker(text, observer))

    assert isinstance(verdict, Pick)
    assert (verdict.targets, verdict.headers) == ((IDS[-1],), ())
    assert [plugin for plugin, _, _ in observer.failures] == [type_]


def test_a_sheddable_request_goes_on_where_saturation_is_unknown() -> None:
    observer = FailureObserver()
    made = picker(
        config("failing-detector", extra="saturationDetector: {pluginRef: failing-detector}\n"), observer, priority=-1
    )

    assert isinstance(ask(made), Pick)
    assert [plugin for plugin, _, _ in observer.failures] == ["FailingDetector"]


def test_scores_of_another_kind_of_number_count_and_can_be_explained() -> None:
    observer = FailureObserver()
    made = picker(config("decimal-scorer"), observer, explains=True)

    verdict = ask(made)

    assert isinstance(verdict, Pick)
    assert observer.failures == []
    expected = orjson.loads(orjson.dumps(made.decisions.explain("one")))
    assert expected["scores"][0]["raw"] == {IDS[0]: 1.0, IDS[1]: 0.25, IDS[2]: 0.25}


@pytest.mark.parametrize(
    ("type_", "name"), [("failing-handler", "FailingHandler"), ("silent-handler", "SilentHandler")]
)
def test_a_profile_handler_that_fails_is_an_internal_error_and_reserves_nothing(type_: str, name: str) -> None:
    observer = FailureObserver()
    made = picker(config(type_), observer)

    verdict = ask(made)

    assert isinstance(verdict, Rejection)
    assert (verdict.status, verdict.code) == (500, ErrorCode.INTERNAL)
    assert made.running() == {}
    assert [plugin for plugin, _, _ in observer.failures] == [name]


def test_a_failure_is_the_first_until_the_configuration_is_read_again() -> None:
    observer = FailureObserver()
    made = picker(config("failing-scorer"), observer)
    for _ in range(3):
        ask(made)
    made.reconfigure(parse_config(config("failing-scorer"), "x.yaml", OWN), 1.0)
    ask(made)

    assert [is_first for _, _, is_first in observer.failures] == [True, False, False, True]


def test_an_explanation_tells_which_plugin_failed() -> None:
    made = picker(config("failing-scorer"), FailureObserver(), explains=True)
    ask(made)

    expected = made.decisions.explain("one")

    assert expected is not None
    assert list(expected["failures"]) == ["failing-scorer"]  # type: ignore[call-overload]
    assert [note["plugin"] for note in expected["scores"]] == ["queue-scorer"]  # type: ignore[attr-defined]


def test_failures_are_counted_by_plugin() -> None:
    metrics = Metrics()
    made = picker(config("failing-scorer"), metrics)
    for _ in range(3):
        ask(made)

    assert 'pointsman_epp_plugin_failures_total{plugin="failing-scorer"} 3.0\n' in metrics.registry.render()


def test_a_test_of_ones_own_plugin_says_why_it_failed() -> None:
    with pytest.raises(RuntimeError, match=r"plugin 'failing-scorer' failed: ZeroDivisionError: .*test_failing"):
        decide(config("failing-scorer"), [candidate("a"), candidate("b")], {"model": "m", "prompt": "hi"}, own=OWN)


@dataclass(frozen=True, slots=True)
class AnyPicker:
    """Answers as it is told."""

    positions: Any

    def pick(self, scores: Sequence[float], view: SchedulingView) -> Sequence[int]:
        return self.positions  # type: ignore[no-any-return]


@given(st.none() | st.integers() | st.lists(st.none() | st.integers(-2, 4) | st.floats() | st.text(max_size=2)))
def test_a_picker_can_choose_nobody_who_is_not_there(positions: object) -> None:
    made = picker(config(), NullObserver())
    view = view_of(made.pools.states[POOL], InferenceRequest(model="m"), 1.0)

    result = run_profile(Profile("p", (), (), AnyPicker(positions)), view)

    assert result is not None
    assert result.chosen
    assert set(result.chosen) <= {0, 1, 2}
