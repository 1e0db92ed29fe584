"""The lab's command line becomes a study. A shell: it reads the files that the command line names.

Whatever is wrong is a `UsageError` of one line, with the place.
"""

import argparse
import os
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from epp.app.config_file import UnreadableError, own_plugins
from epp.config import ConfigError, parse_config
from lab import ranges
from lab.searching import Search
from lab.simulation.fleet import engine_config
from lab.simulation.measures import Limits, percentile
from lab.study.answer import FIGURES
from lab.study.contenders import BUILT_IN, DEFAULT, LEAST_REQUEST, Contender
from lab.study.search import WEIGHT_LIMIT, SearchError, weights_of
from lab.study.study import Made, Point, Study, Traced
from lab.traces import reading
from lab.traces.replay import replay_of
from lab.traces.trace import TracedRequest, TraceError
from lab.workloads.wider import WIDER
from model_sim import profiles
from model_sim.profiles import Profile, ProfileError

DESCRIPTION: Final = "Replay traffic on simulated model servers in virtual time, and compare configurations."
EXAMPLES: Final = """\
examples:
  pointsman lab traffic.jsonl --servers 8 --rate 0.5x..2x     recorded with `pointsman up --record traffic.jsonl`
  pointsman lab traffic.jsonl --servers 4..12                 how many servers are needed?
  pointsman lab traffic.jsonl --config mine.yaml --config other.yaml
  pointsman lab chat --rate 20..60 --seeds 10                 a workload of the lab's own

A trace is a recording, Mooncake's or AgentX's JSONL, Azure's CSV, or ShareGPT's JSON. docs/lab.md has more.
"""
DEFAULT_PROFILE: Final = "h100-llama-3.1-8b"
CONFIG_LIMIT: Final = 1 << 20  # bytes, as the picker has it
CONTENDERS_LIMIT: Final = 20
SEEDS_LIMIT: Final = 1000


class UsageError(Exception):
    """What was asked for cannot be done; one line."""


@dataclass(frozen=True, slots=True)
class Task:
    """A study, and what to do with its answer."""

    study: Study
    title: str
    notes: tuple[str, ...]
    is_relative: bool  # rates are many times a trace's own
    page: Path
    json: Path | None
    jobs: int
    search: Search | None = None


def arguments(argv: Sequence[str]) -> Namespace:
    """Read the command line; what is wrong with it ends the process with 2."""
    parser = argparse.ArgumentParser(
        "pointsman lab", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("source", help=f"a trace's file, or a workload: {', '.join(WIDER)}")
    add(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help=f"an EndpointPickerConfig, or {', '.join(BUILT_IN)}; repeat it (default: {LEAST_REQUEST} and {DEFAULT})",
    )
    add("--servers", default="8", metavar="N", help="how many: 8, 4..12 or 4,6,8 (default: 8)")
    add(
        "--profile",
        default=DEFAULT_PROFILE,
        help=f"a server's latencies: {', '.join(profiles.names())}, or a file (default: {DEFAULT_PROFILE})",
    )
    add("--rate", metavar="RATE", help="0.5x..2x of a trace's own, or requests a second: 20, 10..40 (default: 1x)")
    add("--steps", type=int, default=5, help="points of a range (default: 5)")
    add("--seeds", type=int, default=5, metavar="N", help="runs of each point (default: 5)")
    add("--seed", type=int, default=1, metavar="N", help="the first one (default: 1)")
    add("--requests", type=int, default=5000, metavar="N", help="of a trace, its first so many (default: 5000)")
    add("--pool", metavar="NAMESPACE/NAME", help="of a recording with several pools, this one")
    add("--max-loras", type=int, default=4, metavar="N",
        help="of a recording with adapters: how many a server runs at once (default: 4)")  # fmt: skip
    add("--warm", type=float, default=30.0, metavar="SECONDS", help="of a workload, while caches fill (default: 30)")
    add("--seconds", type=float, default=60.0, help="of a workload, to measure (default: 60)")
    add("--first-token", type=float, default=1.0, metavar="SECONDS", help="limit of a good answer (default: 1)")
    add("--gap", type=float, default=0.05, metavar="SECONDS", help="its limit between tokens (default: 0.05)")
    add(
        "--search",
        action="store_true",
        help="look for better weights of the first --config (default: default), and write lab-proposal.yaml",
    )
    add("--bounds", action="append", default=[], metavar="PLUGIN=LOW..HIGH", help="of a weight in a search; repeat it")
    add("--variants", type=int, default=24, metavar="N", help="of a search (default: 24)")
    add("--by", choices=[figure.name for figure in FIGURES], default="ttft_p90", help="what a search makes better")
    add("--output", type=Path, default=Path("lab.html"), metavar="FILE", help="the report (default: lab.html)")
    add("--json", type=Path, metavar="FILE", help="all figures, also")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)")
    return parser.parse_args(argv)


def study_of(given: Namespace) -> Task:
    """Read what it names."""
    _check_numbers(given)
    try:
        profile = profiles.load(given.profile)
        own = own_plugins()
    except (ProfileError, UnreadableError) as error:
        raise UsageError(_one_line(error)) from None
    contenders = _contenders(given.config or ([DEFAULT] if given.search else [LEAST_REQUEST, DEFAULT]), own)
    source, notes = _source(given, profile)
    rates, servers = _ranges(given, source)
    if len(rates.values) > 1 and len(servers) > 1:
        raise UsageError("--rate and --servers: a range of one of them, and one value of the other")
    if given.search and (len(rates.values) > 1 or len(servers) > 1):
        raise UsageError("--search: one load and one number of servers, such as --rate 1x --servers 8")
    points = tuple(Point(rate, count) for rate in rates.values for count in servers)
    study = Study(
        source, contenders, points, tuple(range(given.seed, given.seed + given.seeds)), profile,
        Limits(given.first_token, given.gap),
    )  # fmt: skip
    search = _search(given, contenders[0]) if given.search else None
    return Task(study, _title(given), notes, rates.is_relative, given.output, given.json, given.jobs, search)


def _search(given: Namespace, base: Contender) -> Search:
    try:
        bounds = dict(map(_bound, given.bounds))
        if base.text is None:
            raise SearchError(f"{base.name} has no weights: give a configuration")
        weights_of(base.text, bounds)
    except SearchError as error:
        raise UsageError(f"--search: {error}") from None
    figure = next(each for each in FIGURES if each.name == given.by)
    return Search(figure, bounds, given.variants, given.seed)


def _bound(text: str) -> tuple[str, tuple[float, float]]:
    found = re.fullmatch(r"([^=]{1,200})=(\d{1,4}(?:\.\d{1,4})?)\.\.(\d{1,4}(?:\.\d{1,4})?)", text)
    if found is None or not float(found[2]) < float(found[3]) <= WEIGHT_LIMIT:
        raise SearchError(f"expected --bounds PLUGIN=LOW..HIGH with weights up to {WEIGHT_LIMIT:g}, got {text!r}")
    return found[1], (float(found[2]), float(found[3]))


def _title(given: Namespace) -> str:
    return given.source if given.source in WIDER else Path(given.source).name


def _check_numbers(given: Namespace) -> None:
    for name, least, most in (
        ("steps", 1, ranges.POINTS_LIMIT), ("seeds", 1, SEEDS_LIMIT), ("seed", 0, 10**9), ("requests", 1, 10**7),
        ("warm", 0, 3600), ("seconds", 1, 36_000), ("first_token", 0.001, 3600), ("gap", 0.001, 3600),
        ("jobs", 1, 1024), ("variants", 1, 1000), ("max_loras", 1, 1000),
    ):  # fmt: skip
        value = getattr(given, name)
        if not least <= value <= most:
            raise UsageError(f"--{name.replace('_', '-')}: expected {least:g} to {most:g}, got {value:g}")


def _contenders(names: Sequence[str], own: Mapping[str, type[Any]]) -> tuple[Contender, ...]:
    if len(names) > CONTENDERS_LIMIT:
        raise UsageError(f"--config: at most {CONTENDERS_LIMIT}, got {len(names)}")
    found = [BUILT_IN[name] if name in BUILT_IN else _read_config(Path(name), own) for name in names]
    shown = [each.name for each in found]
    twice = next((name for name in shown if shown.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"--config: {twice} is named twice")
    return tuple(found)


def _read_config(file: Path, own: Mapping[str, type[Any]]) -> Contender:
    try:
        with file.open("rb") as opened:
            data = opened.read(CONFIG_LIMIT + 1)
        if len(data) > CONFIG_LIMIT:
            raise UsageError(f"{file}: larger than {CONFIG_LIMIT} bytes")
        text = data.decode("utf-8")
        parse_config(text, str(file), own)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text, at byte {error.start}") from None
    except ConfigError as error:
        raise UsageError(_one_line(error)) from None
    return Contender(str(file), text)


def _source(given: Namespace, profile: Profile) -> tuple[Made | Traced, tuple[str, ...]]:
    if given.source in WIDER:
        return Made(given.source, given.warm, given.seconds), ()
    file = Path(given.source)
    try:
        trace = reading.read(file, given.requests, given.pool)
    except OSError as error:
        words = f"{file}: {error.strerror or error}"
        is_word = not file.suffix and not file.parent.name
        raise UsageError(f"{words}; workloads: {', '.join(WIDER)}" if is_word else words) from None
    except TraceError as error:
        raise UsageError(str(error)) from None
    replay = replay_of(trace, _context(profile))
    if not replay.lanes:
        raise UsageError(f"{file}: no request fits into the {_context(profile)} tokens of profile {profile.name}")
    if trace.has_times and not replay.seconds:
        raise UsageError(f"{file}: all requests have one time; a trace needs a span to be replayed in")
    notes = [f"{trace.format} trace: {replay.count} requests"]
    if trace.has_times:
        notes[0] += f" in {replay.seconds:.0f} s, {replay.count / replay.seconds:.2f} a second"
    notes += _as_recorded([request for lane in replay.lanes for request in lane])
    if trace.is_cut:
        notes.append(f"the file goes on: its first {given.requests} requests are replayed (--requests)")
    if replay.left_out:
        notes.append(f"{replay.left_out} requests are left out: they need more than {_context(profile)} tokens")
    if not any(request.blocks for lane in replay.lanes for request in lane):
        notes.append("the trace does not say what prompts share: no prompt is found in a cache")
    if replay.adapters:
        notes.append(f"{replay.adapters} LoRA adapters, {given.max_loras} at once on a server (--max-loras)")
    return Traced(replay, given.max_loras), tuple(notes)


def _as_recorded(requests: Sequence[TracedRequest]) -> list[str]:
    """What the servers that were there did with them."""
    counted = [each for each in requests if each.cached_share is not None]
    times = sorted(each.first_token for each in requests if each.first_token is not None)
    if not counted or not times:
        return []
    tokens = sum(each.prompt_tokens for each in counted)
    cached = sum((each.cached_share or 0.0) * each.prompt_tokens for each in counted)
    p50, p90 = (1000 * percentile(times, share) for share in (0.5, 0.9))
    return [f"as recorded: hit ratio {cached / max(1, tokens):.3f}, TTFT p50 {p50:.0f} ms, p90 {p90:.0f} ms"]


def _context(profile: Profile) -> int:
    """Tokens that one request may need on a server."""
    engine = engine_config(profile, WIDER["chat"])
    room = engine.num_gpu_blocks * engine.block_size
    return min(room, profile.engine.get("max_model_len", room))


def _ranges(given: Namespace, source: Made | Traced) -> tuple[ranges.Rates, tuple[int, ...]]:
    has_times = isinstance(source, Traced) and source.replay.has_times
    if given.rate is None and not has_times:
        raise UsageError("--rate: this workload has no times of its own: give requests a second, such as --rate 10..40")
    try:
        rates = ranges.rates(given.rate or "1x", given.steps)
    except ranges.RangeError as error:
        raise UsageError(f"--rate: {error}") from None
    try:
        servers = ranges.servers(given.servers, given.steps)
    except ranges.RangeError as error:
        raise UsageError(f"--servers: {error}") from None
    if rates.is_relative and not has_times:
        raise UsageError("--rate: this workload has no times of its own: give requests a second, such as --rate 10..40")
    if has_times and not rates.is_relative:
        assert isinstance(source, Traced)
        own = source.replay.count / source.replay.seconds
        rates = ranges.Rates(tuple(round(value / own, 6) for value in rates.values), is_relative=True)
    return rates, servers


def _one_line(error: Exception) -> str:
    first, *more = str(error).splitlines() or [type(error).__name__]
    return f"{first} (and {len(more)} more)" if more else first
