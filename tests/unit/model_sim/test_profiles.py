"""Latency profiles: every value is accounted for, and published figures are reproduced in virtual time."""

from importlib import resources
from random import Random
from statistics import median

import pytest
import yaml

from model_sim import profiles
from model_sim.engine.engine import Engine
from model_sim.engine.profile import EngineConfig
from model_sim.engine.request import Request
from model_sim.profiles import Profile, ProfileError, PublishedFigure

TOLERANCE = 0.15
MAX_OUTPUT_TOKENS = 4096
HARDWARE = tuple(name for name in profiles.names() if name not in ("instant", "demo"))
FIGURES = [
    pytest.param(name, figure, id=f"{name} {figure.quantity} at {figure.concurrency}")
    for name in profiles.names()
    for figure in profiles.load(name).published
]


def closed_loop(profile: Profile, figure: PublishedFigure) -> tuple[float, float]:
    """Median time between tokens and output tokens a second, with a fixed number of requests in flight.

    Answer lengths are exponential around the published mean, as the source's own distribution is.
    """
    config = EngineConfig(
        max_num_seqs=figure.concurrency,
        max_num_batched_tokens=profile.engine["max_num_batched_tokens"],
        num_gpu_blocks=profile.engine["num_gpu_blocks"],
    )
    engine = Engine(config, profile.latency, Random(1), every_token=True)
    random = Random(2)
    sent = 0

    def submit(now: float) -> None:
        nonlocal sent
        length = 1 + min(MAX_OUTPUT_TOKENS, int(random.expovariate(1 / figure.output_tokens)))
        engine.submit(Request(f"r{sent}", figure.prompt_tokens, length), now)
        sent += 1

    for _ in range(figure.concurrency):
        submit(0.0)
    last: dict[str, float] = {}
    gaps: list[float] = []
    tokens, measured_until = 0, 0.0
    while (event := engine.next_event()) is not None:
        for output in engine.step(event):
            if sent < figure.requests:  # measured while the batch is full
                tokens, measured_until = tokens + 1, output.time
                if output.request_id in last:
                    gaps.append(output.time - last[output.request_id])
            last[output.request_id] = output.time
            if output.completion is not None and sent < figure.requests:
                submit(output.time)
        if sent >= figure.requests:
            break
    return median(gaps), tokens / measured_until


@pytest.mark.parametrize(("name", "figure"), FIGURES)
def test_a_published_figure_is_reproduced(name: str, figure: PublishedFigure) -> None:
    itl, throughput = closed_loop(profiles.load(name), figure)
    simulated = {"median_itl_seconds": itl, "output_tokens_per_second": throughput}[figure.quantity]

    assert simulated == pytest.approx(figure.value, rel=TOLERANCE)


@pytest.mark.parametrize("name", HARDWARE)
def test_every_value_says_where_it_comes_from(name: str) -> None:
    raw = yaml.safe_load(resources.files("model_sim.profiles").joinpath(f"{name}.yaml").read_text())
    given = {*raw["step"], *(f"adapter_{key}" for key in raw["adapters"]), "kv_bytes_per_token", "num_gpu_blocks"}
    given |= {f"transfer_{key}" for key in raw["transfer"] if key != "kv_bytes_per_token"}

    assert set(raw["values"]) == given
    assert all(text.startswith(("derived: ", "published: ")) for text in raw["values"].values())


@pytest.mark.parametrize("name", profiles.names())
def test_a_profile_without_two_published_figures_is_labelled_unvalidated(name: str) -> None:
    profile = profiles.load(name)

    if name in HARDWARE:
        assert profile.is_validated != ("unvalidated" in profile.description)
    assert all(figure.source.startswith("https://") and figure.version for figure in profile.published)


@pytest.mark.parametrize("name", HARDWARE)
def test_time_to_first_token_grows_with_the_prompt(name: str) -> None:
    profile = profiles.load(name)
    first = []
    for prompt in (1_000, 10_000):
        engine = Engine(EngineConfig(), profile.latency, Random(1))
        engine.submit(Request("a", prompt, 1), 0.0)
        first.append(engine.step(1e6)[0].time)

    assert 6 < first[1] / first[0] < 14


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "mine.yaml:1: expected an object, got a list"),
        ("speed: 1", "mine.yaml:1: speed: unknown field"),
        ("step: {base: fast}", "step.base: expected a number"),
        ("step: {base: -1}", "step.base: expected at least 0, got -1"),
        ("step: {warp: 1}", "step.warp: unknown field"),
        ("engine: {gpus: 1}", "engine.gpus: unknown field"),
        ("published: [{quantity: x}]", r"published\[0\].value: required"),
        ("{", "flow"),
    ],
)
def test_a_bad_profile_names_the_place(text: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        profiles.parse(text, "mine.yaml")


def test_a_profile_may_come_from_a_file(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nstep: {base: 0.5}\nengine: {max_num_seqs: 4, max_num_batched_tokens: 64}\n")

    assert profiles.load(str(path)).latency.base == 0.5
    with pytest.raises(ProfileError, match="absent"):
        profiles.load(str(tmp_path / "absent.yaml"))
