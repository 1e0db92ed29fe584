"""The text of metrics, read back by Prometheus' own parser."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from gateway.service.exposition import HistogramLines, header, labels

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), WORDS, max_size=4))
def test_any_label_value_reads_back_as_it_was(pairs: dict[str, str]) -> None:
    text = header("x", "A gauge.", "gauge") + f"x{labels(pairs)} 1.0\n"

    (family,) = text_string_to_metric_families(text)

    assert (family.documentation, family.type) == ("A gauge.", "gauge")
    assert family.samples[0].labels == pairs


def test_a_histogram_reads_back_with_its_buckets_count_and_sum() -> None:
    lines = HistogramLines("seconds", {"route": "/a"}, (0.5, 1.0))

    (family,) = text_string_to_metric_families(header("seconds", "Time.", "histogram") + lines.render([1, 3, 4], 2.25))

    assert [(s.name, s.labels.get("le"), s.value) for s in family.samples] == [
        ("seconds_bucket", "0.5", 1.0),
        ("seconds_bucket", "1.0", 3.0),
        ("seconds_bucket", "+Inf", 4.0),
        ("seconds_count", None, 4.0),
        ("seconds_sum", None, 2.25),
    ]
    assert all(sample.labels["route"] == "/a" for sample in family.samples)
