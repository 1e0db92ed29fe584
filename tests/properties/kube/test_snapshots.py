"""What is derived from one snapshot to the next equals what is derived from the last one alone."""

from hypothesis import given
from hypothesis import strategies as st

from epp.discovery.specs import Resolved, pool_specs
from gateway.kube.objects import Manifests
from gateway.kube.reading.contents import Contents, entries
from gateway.kube.resolution.merging import changed, merged
from gateway.schema.problems import Problem

LABELS = st.sampled_from(["a", "b"])
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])


@st.composite
def objects(draw: st.DrawFn) -> str:
    kind, name, label = draw(st.sampled_from(["pool", "slice", "pod", "name", "objective"])), draw(LABELS), draw(LABELS)
    if kind == "pool":
        return (
            f"apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: {name}}}\n"
            f"spec: {{selector: {{matchLabels: {{app: {label}}}}}, targetPorts: [{{number: 80}}]}}\n"
        )
    if kind == "objective":
        return (
            f"apiVersion: llm-d.ai/v1alpha2\nkind: InferenceObjective\nmetadata: {{name: {name}}}\n"
            f"spec: {{poolRef: {{name: {label}}}, priority: {draw(st.integers(0, 2))}}}\n"
        )
    if kind == "pod":
        return (
            f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {label}}}}}\nstatus:\n"
            f"  podIP: {draw(ADDRESSES)}\n  conditions: [{{type: Ready, status: '{draw(st.booleans())}'}}]\n"
        )
    type_, address = ("IPv4", draw(ADDRESSES)) if kind == "slice" else ("FQDN", draw(st.sampled_from(["x", "y"])))
    return (
        f"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{app: {label}}}}}\n"
        f"addressType: {type_}\nendpoints: [{{addresses: [{address}]}}]\n"
    )


SNAPSHOTS = st.tuples(
    st.lists(objects(), max_size=6), st.dictionaries(st.sampled_from(["x", "y"]), ADDRESSES.map(lambda found: (found,)))
)


def manifests(texts: list[str]) -> Manifests:
    problems: list[Problem] = []
    found = [Contents(tuple(entries(text, f"{at}.yaml", problems))) for at, text in enumerate(texts)]
    assert problems == []
    return merged([[contents] for contents in found]).manifests  # each in a folder of its own: the last one counts


@given(st.lists(SNAPSHOTS, min_size=1, max_size=5))
def test_pools_that_follow_are_the_pools_there_are(
    snapshots: list[tuple[list[str], dict[str, tuple[str, ...]]]],
) -> None:
    resolved, before = Resolved(), Manifests()
    for texts, addresses in snapshots:
        now = manifests(texts)
        resolved = resolved.following(now, addresses)
        assert resolved.pools == pool_specs(now, addresses)
        assert (changed(before, now) == frozenset()) == (before == now)
        before = now
