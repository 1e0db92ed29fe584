"""Prometheus' text format, read for a handful of mapping. Pure: bytes in, `EngineMetrics` out.

A model server's exposition has hundreds of lines of which five matter. The families are found by substring search, so
that a line nobody needs costs no Python; their lines alone are parsed. Anything that is no exposition (HTML, a cut
answer, NaN) gives absent values or `MalformedError`, never a wrong number.

Several series of one family are engines behind one endpoint (data parallel): queues add up, the fullest KV cache
counts. Of the adapter series the newest counts, which its value tells.
"""

import math
import re
from collections.abc import Iterator, Mapping

from epp.config.engines import EngineMapping, MetricSelector
from epp.domain import EngineMetrics


class MalformedError(ValueError):
    """Not an exposition, or one without any family of the engine."""


_ESCAPE = re.compile(r'\\([\\n"])')
# A label's value up to its closing quote. Possessive: one step for a long run, no backtracking.
_QUOTED = re.compile(r'((?:[^"\\]++|\\.)*+)"', re.DOTALL)
# A line of vLLM's adapters holds some hundred names; a longer one is no line of an engine.
LINE_LIMIT = 64 * 1024
# Series of one family: engines behind an endpoint, or the sets of adapters that ran at some time. Reading more would
# hold up every other endpoint, and requests with them.
SERIES_LIMIT = 10_000

STARTED = MetricSelector("process_start_time_seconds")

Sample = tuple[Mapping[str, str], float]


def parse(text: bytes, mapping: EngineMapping) -> EngineMetrics:
    """One scrape."""
    waiting, running = _sum(text, mapping.waiting), _sum(text, mapping.running)
    kv_usage = _largest(text, mapping.kv_usage)
    if kv_usage is None:
        kv_usage = _largest(text, mapping.former_kv_usage)
    if waiting is None and running is None and kv_usage is None:
        raise MalformedError("none of the engine's families is there")
    adapters = _newest(text, mapping.lora)
    cache = _newest(text, mapping.cache_info)
    return EngineMetrics(
        waiting=waiting,
        running=running,
        kv_usage=None if kv_usage is None else min(1.0, max(0.0, kv_usage)),
        active_adapters=_names(adapters.get("running_lora_adapters", "")),
        waiting_adapters=_names(adapters.get("waiting_lora_adapters", "")),
        max_adapters=_count(adapters.get("max_lora", "")) or 0,
        block_size=_count(cache.get(mapping.block_size_label, "")) or _whole(_largest(text, mapping.block_size)),
        block_count=_count(cache.get(mapping.block_count_label, "")) or _whole(_largest(text, mapping.block_count)),
        computed_tokens=_total(text, mapping.computed_tokens),
        started_at=_largest(text, STARTED),
    )


def samples(text: bytes, series: MetricSelector | None) -> Iterator[Sample]:
    """Every finite sample of a series, in order."""
    if series is None:
        return
    name = series.family.encode()
    at, number = text.find(name), 0
    while at >= 0:
        end = text.find(b"\n", at)
        line_end = len(text) if end < 0 else end
        if at == 0 or text[at - 1] == 0x0A:
            number += 1
            if number > SERIES_LIMIT:
                raise MalformedError(f"more than {SERIES_LIMIT} series of {series.family}")
            sample = _sample(text[at + len(name) : line_end]) if line_end - at <= LINE_LIMIT else None
            if sample is not None and all(sample[0].get(key) == value for key, value in series.labels.items()):
                yield sample
        at = text.find(name, line_end)


def _sample(rest: bytes) -> Sample | None:
    """What follows the name: `{labels} value [timestamp]`. None for another family that starts with the name."""
    labels: Mapping[str, str] = {}
    if rest[:1] == b"{":
        parsed = _labels(rest.decode("utf-8", "replace"))
        if parsed is None:
            return None
        labels, value = parsed
    elif rest[:1] in (b" ", b"\t"):
        value = rest.decode("ascii", "replace")
    else:
        return None
    words = value.split(None, 1)
    try:
        number = float(words[0]) if words else math.nan
    except ValueError:
        return None
    return (labels, number) if math.isfinite(number) else None


def _labels(text: str) -> tuple[Mapping[str, str], str] | None:
    """`{a="x",b="y\\"z"}` and what follows it."""
    labels: dict[str, str] = {}
    at = 1
    while at < len(text):
        if text[at] == "}":
            return labels, text[at + 1 :]
        equals = text.find('="', at)
        if equals < 0:
            return None
        quoted = _QUOTED.match(text, equals + 2)
        if quoted is None:
            return None
        labels[text[at:equals].strip(" ,")] = _unescape(quoted[1])
        at = quoted.end()
        while at < len(text) and text[at] in ", ":
            at += 1
    return None


def _unescape(value: str) -> str:
    if "\\" not in value:
        return value
    return _ESCAPE.sub(lambda escape: "\n" if escape[1] == "n" else escape[1], value)


def _sum(text: bytes, series: MetricSelector | None) -> int | None:
    values = [value for _, value in samples(text, series) if value >= 0]
    return int(min(sum(values), _COUNT_LIMIT)) if values else None


def _total(text: bytes, series: MetricSelector | None) -> float | None:
    values = [value for _, value in samples(text, series)]
    return sum(values) if values else None


_COUNT_LIMIT = 1e9  # a queue longer than this is a broken gauge; it still means "long"


def _largest(text: bytes, series: MetricSelector | None) -> float | None:
    return max((value for _, value in samples(text, series)), default=None)


def _newest(text: bytes, series: MetricSelector | None) -> Mapping[str, str]:
    found = max(samples(text, series), key=lambda sample: sample[1], default=None)
    return found[0] if found is not None else {}


def _names(joined: str) -> frozenset[str]:
    return frozenset(name.strip() for name in joined.split(",") if name.strip())


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else None


def _whole(value: float | None) -> int | None:
    return int(value) if value is not None and 0 < value < _COUNT_LIMIT else None
