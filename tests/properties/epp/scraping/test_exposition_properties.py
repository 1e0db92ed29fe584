"""Reading by substring agrees with a full parser, and no text breaks it."""

import contextlib
import math

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from epp.config.engines import BUILT_IN, MetricSelector
from epp.scraping import exposition
from epp.scraping.exposition import MalformedError

VLLM = BUILT_IN["vllm"]
FAMILIES = (b"vllm:num_requests_waiting", b"vllm:num_requests_running", b"vllm:kv_cache_usage_perc")
values = st.floats(0, 1e6)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.dictionaries(st.tuples(words, words), values, min_size=1, max_size=5))
def test_samples_are_those_of_the_official_parser(series: dict[tuple[str, str], float]) -> None:
    registry = CollectorRegistry()
    Gauge("other", "m before", registry=registry).set(1)
    gauge = Gauge("m", 'help with m{a="b"} 5', ["first", "second"], registry=registry)
    for labels, value in series.items():
        gauge.labels(*labels).set(value)
    Gauge("m_longer", "m", registry=registry).set(2)
    text = generate_latest(registry)
    families = {family.name: family for family in text_string_to_metric_families(text.decode())}
    expected = [(sample.labels, sample.value) for sample in families["m"].samples]
    assert list(exposition.samples(text, MetricSelector("m"))) == expected


lines = st.one_of(
    st.binary(max_size=40),
    st.tuples(
        st.sampled_from(FAMILIES), st.sampled_from([b" ", b"{", b'{a="', b'{a="b"} ', b"_x "]), st.binary(max_size=12)
    ).map(b"".join),
)


@given(st.lists(lines, max_size=12).map(b"\n".join))
def test_any_text_gives_finite_bounded_figures_or_is_malformed(text: bytes) -> None:
    with contextlib.suppress(MalformedError):
        found = exposition.parse(text, VLLM)
        for count in (found.waiting, found.running):
            assert count is None or 0 <= count <= 10**9
        assert found.kv_usage is None or 0 <= found.kv_usage <= 1
        assert found.started_at is None or math.isfinite(found.started_at)


@given(st.sampled_from([b"vllm:num_requests_waiting 3\n"]), st.binary(max_size=200), st.integers(0, 28))
def test_a_cut_answer_never_invents_a_family(line: bytes, before: bytes, cut: int) -> None:
    try:
        found = exposition.parse(before.replace(b"vllm", b"") + b"\n" + line[:cut], VLLM)
    except MalformedError:
        return
    assert found.waiting == 3
