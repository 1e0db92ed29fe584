"""From any snapshot to any other over ADS: a proxy never holds a route to a cluster that it does not have.

The proxy of this test keeps to the protocol in both dialects, answers when it likes, and refuses what it likes.
"""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.xds.ads.stream import Stream, Target
from controlplane.xds.resources import names
from gateway.xds.messages import Dialect, Request, Resource, Response

CLUSTERS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1), max_size=4)
WHOLE = (names.CLUSTER_TYPE, names.LISTENER_TYPE)


@dataclass(frozen=True)
class Content:
    """Routes lead to every cluster; a number stands for a cluster's settings, another for its endpoints."""

    clusters: dict[str, int]
    endpoints: int
    listener: int


CONTENTS = st.builds(Content, CLUSTERS, st.integers(0, 2), st.integers(0, 1))


def target(content: Content) -> Target:
    routes = f"r{content.listener}"
    found = {
        names.CLUSTER_TYPE: {name: f"{at}" for name, at in content.clusters.items()},
        names.ENDPOINTS_TYPE: dict.fromkeys(content.clusters, f"{content.endpoints}"),
        names.LISTENER_TYPE: {"l": routes},
        names.ROUTES_TYPE: {routes: ",".join(sorted(content.clusters))},
    }
    return Target(
        MappingProxyType({kind: MappingProxyType({name: Resource(name, version) for name, version in each.items()})
                          for kind, each in found.items()}),
        MappingProxyType({kind: str(sorted(each.items())) for kind, each in found.items()}),
    )  # fmt: skip


@dataclass
class Proxy:
    """Holds what it took. It asks for the endpoints of its clusters and the routes of its listener, as Envoy does."""

    dialect: Dialect
    stream: Stream
    held: dict[str, dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in names_of_types()})
    nonces: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, set[str]] = field(default_factory=lambda: {kind: set() for kind in names_of_types()})
    inbox: list[Response] = field(default_factory=list)
    sent: list[Response] = field(default_factory=list)

    def connect(self) -> None:
        for kind in WHOLE:
            self.say(kind)

    def say(self, kind: str, error: str = "", new: frozenset[str] = frozenset(), gone: frozenset[str] = frozenset(),
            versions: dict[str, str] | None = None) -> None:  # fmt: skip
        nonce = self.nonces.get(kind, "")
        if self.dialect is Dialect.STATE:
            request = Request(kind, "node", nonce, error, tuple(sorted(self.wanted[kind])))
        else:
            request = Request(kind, "node", nonce, error, tuple(sorted(new)), tuple(sorted(gone)), versions or {})
        self.stream.receive(request)
        self.collect()

    def collect(self) -> None:
        while (response := self.stream.due()) is not None:
            awaited = {item.type_name for item in self.inbox}
            assert response.type_name not in awaited, "one response of a type at a time"
            self.inbox.append(response)
            self.sent.append(response)

    def answer(self, refuses: bool) -> None:
        """Take or refuse the oldest response."""
        if not self.inbox:
            return
        response = self.inbox.pop(0)
        kind = response.type_name
        self.nonces[kind] = response.nonce
        if refuses:
            self.say(kind, error="no")
            return
        if kind in WHOLE and self.dialect is Dialect.STATE:
            self.held[kind] = {}
        for item in response.resources:
            if kind in WHOLE or item.name in self.wanted[kind]:  # Envoy drops what it no longer asks for
                self.held[kind][item.name] = item.version
        for name in response.removed:
            self.held[kind].pop(name, None)
        self.say(kind)
        self.follow()

    def follow(self) -> None:
        """Subscribe to what the clusters and the listener name."""
        named = {
            names.ENDPOINTS_TYPE: set(self.held[names.CLUSTER_TYPE]),
            names.ROUTES_TYPE: set(self.held[names.LISTENER_TYPE].values()),
        }
        for kind, wanted in named.items():
            new, gone = wanted - self.wanted[kind], self.wanted[kind] - wanted
            self.wanted[kind] = wanted
            for name in gone:
                self.held[kind].pop(name, None)
            if new or gone:
                self.say(kind, new=frozenset(new), gone=frozenset(gone))

    def settle(self) -> None:
        for _ in range(100):
            self.answer(refuses=False)
            self.collect()
        assert not self.inbox

    def assert_whole(self) -> None:
        routes = self.held[names.ROUTES_TYPE].get(self.held[names.LISTENER_TYPE].get("l", ""), "")
        assert set(filter(None, routes.split(","))) <= self.held[names.CLUSTER_TYPE].keys()


def names_of_types() -> tuple[str, ...]:
    return (names.CLUSTER_TYPE, names.ENDPOINTS_TYPE, names.LISTENER_TYPE, names.ROUTES_TYPE)


def started(dialect: Dialect, content: Content) -> Proxy:
    proxy = Proxy(dialect, Stream(dialect))
    proxy.connect()
    proxy.stream.publish(target(content))
    proxy.collect()
    return proxy


def holds(proxy: Proxy, content: Content) -> bool:
    wanted = target(content)
    return all(
        proxy.held[kind] == {name: found.version for name, found in wanted.of(kind).items()}
        for kind in names_of_types()
    )


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(Dialect), st.lists(CONTENTS, min_size=1, max_size=4), st.data())
def test_no_route_ever_leads_to_a_cluster_that_is_not_there(
    dialect: Dialect, contents: list[Content], data: st.DataObject
) -> None:
    proxy = started(dialect, contents[0])
    for content in contents[1:]:
        for refuses in data.draw(st.lists(st.sampled_from((False, False, True)), max_size=6)):
            proxy.answer(refuses)
            proxy.assert_whole()
        proxy.stream.publish(target(content))
        proxy.collect()
    refused_last = bool(proxy.stream.errors)
    proxy.settle()
    proxy.assert_whole()

    if not refused_last:
        assert holds(proxy, contents[-1])
        assert proxy.stream.is_current
    else:
        proxy.stream.publish(target(Content({"z": 9}, 9, 7)))
        proxy.collect()
        proxy.settle()
        assert holds(proxy, Content({"z": 9}, 9, 7)), "a snapshot that is taken ends what a refusal began"


@pytest.mark.parametrize("dialect", Dialect)
def test_endpoints_alone_make_one_response_of_their_own(dialect: Dialect) -> None:
    proxy = started(dialect, Content({"a": 0, "b": 0}, 0, 0))
    proxy.settle()
    proxy.sent.clear()

    proxy.stream.publish(target(Content({"a": 0, "b": 0}, 1, 0)))
    proxy.collect()
    proxy.settle()

    assert [item.type_name for item in proxy.sent] == [names.ENDPOINTS_TYPE]


@pytest.mark.parametrize("dialect", Dialect)
def test_endpoints_wait_for_no_cluster(dialect: Dialect) -> None:
    proxy = started(dialect, Content({"a": 0}, 0, 0))
    proxy.settle()
    proxy.stream.publish(target(Content({"a": 0, "b": 0}, 0, 0)))
    proxy.collect()

    proxy.stream.publish(target(Content({"a": 0, "b": 0}, 1, 0)))
    proxy.collect()

    assert [item.type_name for item in proxy.inbox] == [names.CLUSTER_TYPE, names.ENDPOINTS_TYPE]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("kind", [names.CLUSTER_TYPE, names.LISTENER_TYPE, names.ROUTES_TYPE])
def test_what_is_refused_is_not_sent_again_and_holds_back_what_follows(dialect: Dialect, kind: str) -> None:
    proxy = started(dialect, Content({"a": 0}, 0, 0))
    proxy.settle()
    before: dict[str, Any] = {each: dict(found) for each, found in proxy.held.items()}
    after = Content({"b": 0}, 0, int(kind == names.LISTENER_TYPE))
    proxy.stream.publish(target(after))
    proxy.collect()
    for _ in range(20):
        proxy.answer(refuses=bool(proxy.inbox and proxy.inbox[0].type_name == kind))
    count = len(proxy.sent)
    proxy.stream.publish(target(after))
    proxy.collect()

    assert len(proxy.sent) == count
    assert proxy.held[kind] == before[kind]
    assert "a" in proxy.held[names.CLUSTER_TYPE], "the old cluster stays as long as an old route may lead to it"
    assert proxy.stream.errors == (f"{kind.rpartition('.')[2]}: no",)
    assert not proxy.stream.is_current


def test_a_proxy_that_connects_anew_gets_what_it_has_not_got_and_loses_nothing_too_early() -> None:
    """In the delta dialect it says what it has."""
    proxy = started(Dialect.DELTA, Content({"a": 0, "b": 0}, 0, 0))
    proxy.settle()
    again = Proxy(Dialect.DELTA, Stream(Dialect.DELTA), held=proxy.held, wanted=proxy.wanted)
    again.stream.publish(target(Content({"a": 0, "c": 0}, 0, 0)))
    for kind in names_of_types():
        wanted = frozenset() if kind in WHOLE else frozenset(again.wanted[kind])
        again.say(kind, new=wanted, versions=dict(again.held[kind]))
    first = again.inbox[0]

    assert ([item.name for item in first.resources], first.removed) == (["c"], ())
    while again.inbox:
        again.answer(refuses=False)
        again.assert_whole()
    assert holds(again, Content({"a": 0, "c": 0}, 0, 0))
    assert again.sent[-1].removed == ("b",)


def test_a_request_that_answers_an_older_response_is_overtaken() -> None:
    stream = Stream(Dialect.STATE)
    stream.receive(Request(names.CLUSTER_TYPE, "node"))
    stream.publish(target(Content({"a": 0}, 0, 0)))
    first = stream.due()
    assert first is not None

    stream.receive(Request(names.CLUSTER_TYPE, nonce="0", error="of an older one"))
    assert not stream.errors
    stream.receive(Request(names.CLUSTER_TYPE, nonce=first.nonce, error="bad"))
    assert stream.errors == ("Cluster: bad",)


def test_nothing_is_sent_before_there_is_a_snapshot_and_no_type_that_is_unknown() -> None:
    stream = Stream(Dialect.DELTA)
    stream.receive(Request(names.CLUSTER_TYPE, "node"))
    assert stream.due() is None

    stream.receive(Request("type.googleapis.com/other", "node"))
    stream.publish(target(Content({}, 0, 0)))
    first = stream.due()
    assert first is not None
    assert (first.type_name, first.resources) == (names.CLUSTER_TYPE, ()), "a proxy that starts waits for it"
    assert stream.due() is None


def test_a_name_that_does_not_exist_is_answered() -> None:
    stream = Stream(Dialect.DELTA)
    stream.publish(target(Content({"a": 0}, 0, 0)))
    stream.receive(Request(names.ENDPOINTS_TYPE, "node", names=("a", "x")))

    found = stream.due()
    assert found is not None
    assert ([item.name for item in found.resources], found.removed) == (["a"], ("x",))
