"""A memo changes what a result costs, and never what it is."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.memo import Memo
from controlplane.options import Options
from controlplane.render import render
from tests.unit.controlplane.manifest_texts import gateway, manifests, pool, route, service, to_pool

MODEL = "[{name: X-Gateway-Model-Name, value: m}]"
SLICE = (
    "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s, labels: {%s}}\n"
    "addressType: IPv4\nendpoints: [{addresses: ['10.0.0.%d']}]\nports: [{name: http, port: 8000}]\n"
)
# Each kind of object in two forms; what is drawn is there in the form that is drawn.
OBJECTS = {
    "gateway": (gateway(), gateway("{name: http, port: 81, protocol: HTTP}")),
    "route": (route(to_pool()), route(to_pool("/v1", headers=MODEL))),
    "other": (route(to_pool(pool="q"), name="s"), route("{backendRefs: [{name: plain, port: 80}]}", name="s")),
    "pool": (pool(), pool(mode="FailOpen")),
    "second": (pool("q"), pool("q", picker="")),
    "picker": (service(), service(spec="type: ExternalName, externalName: x.y")),
    "plain": (service("plain", spec="ports: [{port: 80}]"), service("plain", spec="ports: [{port: 81}]")),
    "slice": (SLICE % ("a", "app: p", 1), SLICE % ("a", "app: p", 2)),
    "endpoint": (
        SLICE % ("e", "kubernetes.io/service-name: plain", 1),
        SLICE % ("e", "kubernetes.io/service-name: epp", 2),
    ),
}
STATES = st.lists(st.dictionaries(st.sampled_from(sorted(OBJECTS)), st.integers(0, 1)), min_size=2, max_size=4)


@settings(max_examples=40, deadline=None)
@given(STATES)
def test_a_rendering_after_others_is_the_one_that_a_fresh_start_gives(states: list[dict[str, int]]) -> None:
    memo = Memo()
    with TemporaryDirectory() as folder:
        for state in states:
            found = manifests(Path(folder), *(OBJECTS[name][form] for name, form in state.items()))
            kept, fresh = render(found, {}, Options(), memo), render(found, {}, Options())
            assert kept == fresh
            assert [item.body for each in kept.snapshot.resources.values() for item in each] == [
                item.body for each in fresh.snapshot.resources.values() for item in each
            ]


def test_only_the_latest_round_is_kept() -> None:
    memo, made = Memo(), []

    def make(number: int) -> list[int]:
        made.append(number)
        return [number]

    def ask(*places: str) -> list[list[int]]:
        memo.begin()
        return [memo.result(place, make, 1) for place in places]

    first, second = ask("a", "b"), ask("a")
    assert second[0] is first[0], "the same inputs give the same object"
    ask("b")
    assert made == [1, 1, 1], "what a round did not use is forgotten"
