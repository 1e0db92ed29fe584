"""The search for weights: everywhere within bounds, poor variants early out, judged on seeds that had no part in it."""

from pathlib import Path
from random import Random

import pytest
import yaml

from epp.config import parse_config
from epp.config.defaults import DEFAULT_TEXT
from lab.__main__ import main
from lab.study.answer import FIGURES
from lab.study.contenders import Contender
from lab.study.search import TRAINING_SEED, SearchError, Trial, kept, rounds, variants, weights_of

BASE = Contender("default", DEFAULT_TEXT)
P90 = next(figure for figure in FIGURES if figure.name == "ttft_p90")
HITS = next(figure for figure in FIGURES if figure.name == "hit_ratio")
POOR = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins: [{type: prefix-cache-scorer}, {type: queue-scorer}]
schedulingProfiles:
- name: default
  plugins: [{pluginRef: prefix-cache-scorer, weight: 0}, {pluginRef: queue-scorer, weight: 0}]
"""


def test_every_weight_that_is_written_is_varied_and_a_gate_has_none() -> None:
    found = weights_of(DEFAULT_TEXT, {"queue-scorer": (1.0, 2.0)})

    assert [(each.name, each.low, each.high) for each in found] == [
        ("prefix-cache-scorer", 0.0, 9.0), ("lora-placement-scorer", 0.0, 9.0), ("session-affinity-scorer", 0.0, 3.0),
        ("queue-scorer", 1.0, 2.0), ("kv-cache-utilization-scorer", 0.0, 3.0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "bounds", "words"),
    [
        (DEFAULT_TEXT, {"queue": (0.0, 1.0)}, "no weight of 'queue' is written in it: prefix-cache-scorer"),
        ("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n", {}, "no weight is written in it"),
    ],
)
def test_what_cannot_be_varied_is_said(text: str, bounds: dict[str, tuple[float, float]], words: str) -> None:
    with pytest.raises(SearchError, match=words):
        weights_of(text, bounds)


def test_variants_are_right_and_reach_every_part_of_every_bound() -> None:
    weights = weights_of(DEFAULT_TEXT, {})
    base, *others = variants(BASE, weights, 9, 1)

    assert base is BASE
    documents = [yaml.safe_load(each.text or "") for each in others]
    drawn = [document["schedulingProfiles"][0]["plugins"][1]["weight"] for document in documents]
    assert sorted(int(value) for value in drawn) == [*range(9)]  # one of each ninth of 0 to 9
    for each in others:
        parse_config(each.text or "", each.name)
    assert variants(BASE, weights, 9, 1) == [base, *others]
    assert variants(BASE, weights, 9, 2) != [base, *others]


def test_seeds_of_the_search_are_apart_from_those_that_judge() -> None:
    first, second, third = rounds(7)

    assert len({*first, *second, *third}) == len(first) + len(second) + len(third)
    assert min(first) >= TRAINING_SEED


def test_the_better_third_goes_on_and_the_configuration_itself_always() -> None:
    random = Random(1)
    trials = [Trial(Contender(f"v{at}"), (random.random(),)) for at in range(8)]
    ordered = sorted([*trials, Trial(BASE, (9.0,))], key=lambda trial: trial.score(P90))

    assert kept(ordered, BASE) == [Trial(BASE, (9.0,)), *ordered[:3]]
    assert Trial(BASE, (2.0,)).score(HITS) < Trial(BASE, (1.0,)).score(HITS)
    assert Trial(BASE, (float("inf"), 0.1)).score(P90) == float("inf")


def test_better_weights_are_found_where_there_are_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "poor.yaml").write_text(POOR)
    main(["shared", "--rate", "12", "--servers", "3", "--warm", "6", "--seconds", "10", "--seeds", "5", "--jobs", "1",
          "--config", "poor.yaml", "--search", "--variants", "3", "--by", "hit_ratio"])  # fmt: skip

    said = capsys.readouterr().out
    assert "take the proposal, lab-proposal.yaml" in said
    assert "hit ratio of proposal against poor.yaml: better at 12/s" in said
    parse_config((tmp_path / "lab-proposal.yaml").read_text(), "proposal")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "least-request"], "--search: least-request has no weights"),
        (["--bounds", "queue-scorer=2..1"], "--search: expected --bounds PLUGIN=LOW..HIGH"),
        (["--bounds", "queue=0..1"], "--search: no weight of 'queue'"),
        (["--servers", "2..4"], "--search: one load and one number of servers"),
    ],
)
def test_a_search_that_cannot_be_done_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["chat", "--rate", "5", "--search", *words])

    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"pointsman lab: {message}")
