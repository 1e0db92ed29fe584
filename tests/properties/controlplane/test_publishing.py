"""From any rendering to any other: what Envoy is told to use is there at every moment."""

import json

from hypothesis import given
from hypothesis import strategies as st

from controlplane import hosts
from controlplane.publish import steps

CLUSTERS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), max_size=6)
LABELS = st.sampled_from(
    ["", "*.example.com", "a.example.com", "*.a.example.com", "b.a.example.com", "example.com", "x.org"]
)


def files(clusters: dict[str, int]) -> dict[str, bytes]:
    """Routes lead to every cluster; a number stands for its settings and endpoints."""
    cds = {"version_info": str(clusters), "resources": [{"name": name, "is": at} for name, at in clusters.items()]}
    return {
        **{f"eds/{name}.json": str(at).encode() for name, at in clusters.items()},
        "cds.json": json.dumps(cds).encode(),
        "rds/x.json": json.dumps(sorted(clusters)).encode(),
        "lds.json": b"l",
    }


def assert_consistent(folder: dict[str, bytes]) -> None:
    clusters = {item["name"] for item in json.loads(folder["cds.json"])["resources"]}
    assert all(f"eds/{name}.json" in folder for name in clusters)
    assert set(json.loads(folder["rds/x.json"])) <= clusters


@given(CLUSTERS, CLUSTERS)
def test_no_reference_ever_leads_nowhere(before: dict[str, int], after: dict[str, int]) -> None:
    folder = files(before)
    for step in steps(files(before), files(after)):
        for name, content in step.write.items():
            folder[name] = content
            assert_consistent(folder)
        for name in step.remove:
            del folder[name]
            assert_consistent(folder)
    assert folder == files(after)


@given(LABELS, LABELS)
def test_the_hosts_that_two_names_share_are_covered_by_both(first: str, second: str) -> None:
    both = hosts.intersect(first, second)

    assert both == hosts.intersect(second, first)
    if both is not None:
        assert hosts.covers(first, both)
        assert hosts.covers(second, both)
