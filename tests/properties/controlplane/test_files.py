"""From any snapshot to any other: what Envoy is told to use is there at every moment."""

import json

from hypothesis import given
from hypothesis import strategies as st

from controlplane.plan import hosts
from controlplane.xds.files import contents, steps
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Snapshot, snapshot_of

CLUSTERS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), max_size=6)
LABELS = st.sampled_from(
    ["", "*.example.com", "a.example.com", "*.a.example.com", "b.a.example.com", "example.com", "x.org"]
)


def snapshot(clusters: dict[str, int]) -> Snapshot:
    """Routes lead to every cluster; a number stands for its settings and endpoints."""
    return snapshot_of(
        {
            names.ENDPOINTS_TYPE: [{"cluster_name": name, "is": at} for name, at in clusters.items()],
            names.CLUSTER_TYPE: [{"name": name, "is": at} for name, at in clusters.items()],
            names.ROUTES_TYPE: [{"name": "x", "to": sorted(clusters)}],
            names.LISTENER_TYPE: [{"name": "l"}],
        }
    )


def assert_consistent(folder: dict[str, bytes]) -> None:
    clusters = {item["name"] for item in json.loads(folder["cds.json"])["resources"]}
    (routes,) = json.loads(folder["rds/x.json"])["resources"]
    assert all(f"eds/{name}.json" in folder for name in clusters)
    assert set(routes["to"]) <= clusters


@given(CLUSTERS, CLUSTERS)
def test_no_reference_ever_leads_nowhere(before: dict[str, int], after: dict[str, int]) -> None:
    folder = contents(snapshot(before))
    for step in steps(snapshot(before), snapshot(after)):
        for name, content in step.write.items():
            folder[name] = content
            assert_consistent(folder)
        for name in step.remove:
            del folder[name]
            assert_consistent(folder)
    assert folder == contents(snapshot(after))


@given(LABELS, LABELS)
def test_the_hosts_that_two_names_share_are_covered_by_both(first: str, second: str) -> None:
    both = hosts.intersect(first, second)

    assert both == hosts.intersect(second, first)
    if both is not None:
        assert hosts.covers(first, both)
        assert hosts.covers(second, both)
