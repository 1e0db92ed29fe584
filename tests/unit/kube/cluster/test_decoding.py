"""Answers of an API server as they are read."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kube.objects import Pod
from gateway.kube.sources.cluster import decoding
from gateway.kube.sources.cluster.decoding import ErrorEvent, Lines, Origin, UnreadableError
from gateway.kube.sources.cluster.reflector import Event, EventType

PODS = Origin("v1", "Pod")


def pod(name: str, **status: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "models", "resourceVersion": "7"}, "status": status}


def test_items_of_a_list_do_not_say_their_kind() -> None:
    body = {"metadata": {"resourceVersion": "9", "continue": "more"}, "items": [pod("a", podIP="10.0.0.1")]}

    page = decoding.page(orjson.dumps(body), PODS, decoding.entry)
    assert (page.resource_version, page.continuation) == ("9", "more")
    found = page.items[0].value.found
    assert isinstance(found, Pod)
    assert (str(found.meta.id), found.addresses) == ("models/a", ("10.0.0.1",))


def test_an_object_that_is_refused_leaves_the_others_and_is_named() -> None:
    body = {"metadata": {"resourceVersion": "9"}, "items": [pod("a", podIP="nowhere"), pod("b"), 5, None]}

    page = decoding.page(orjson.dumps(body), PODS, decoding.entry)
    wrong, right = (item.value for item in page.items)
    assert [str(problem) for problem in wrong.problems] == [
        "Pod models/a: status.podIP: expected an IP address, got 'nowhere'"
    ]
    assert right.problems == ()


def test_events_say_what_became_of_an_object() -> None:
    line = orjson.dumps({"type": "DELETED", "object": {"apiVersion": "v1", "kind": "Pod", **pod("a")}})

    event = decoding.event(line, PODS, decoding.entry)
    assert isinstance(event, Event)
    assert (event.type, event.resource_version) == (EventType.DELETED, "7")
    assert event.item is not None
    assert event.item.key == ("", "Pod", "models", "a")


def test_a_bookmark_has_a_version_alone() -> None:
    line = orjson.dumps({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12"}}})

    assert decoding.event(line, PODS, decoding.entry) == Event(EventType.BOOKMARK, None, "12")


def test_a_watch_may_end_with_an_error() -> None:
    line = orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})

    assert decoding.event(line, PODS, decoding.entry) == ErrorEvent(410, "too old")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<html>", b'{"items": []}', b'{"metadata": 1}', b'{"metadata": {}, "items": {}}', b'{"metadata": {'],
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        decoding.page(body, PODS, decoding.entry)


@pytest.mark.parametrize("line", [b"{}", b"1", b'{"type": "OTHER", "object": {}}', b'{"type": "ADDED", "object": 3}'])
def test_what_is_no_event_is_refused(line: bytes) -> None:
    with pytest.raises(UnreadableError):
        decoding.event(line, PODS, decoding.entry)


def test_an_error_is_shown_in_the_servers_words() -> None:
    assert decoding.message(b'{"kind": "Status", "message": "pods is forbidden"}') == "pods is forbidden"
    assert decoding.message(b"404 page not found\n") == "404 page not found"


@given(st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line and line.strip())), st.data())
def test_lines_are_the_same_however_they_are_cut(written: list[bytes], data: st.DataObject) -> None:
    text, lines = b"".join(line + b"\n" for line in written), Lines()
    found: list[bytes] = []
    while text:
        size = data.draw(st.integers(1, len(text)))
        found += lines.feed(text[:size])
        text = text[size:]

    assert found == written


def test_a_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_LINE_BYTES", 100)
    lines = Lines()

    assert list(lines.feed(b"a" * 100)) == []
    with pytest.raises(UnreadableError, match="more than 100 bytes"):
        list(lines.feed(b"a"))
