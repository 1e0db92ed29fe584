"""A conversation is found in what clients send without being asked, in a documented order."""

from collections.abc import Mapping

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.prompts.sessions import ID_LENGTH_LIMIT, OPENING, session_of
from tests.unit.epp.prompts.reading import read

USER_ID = orjson.dumps({"device_id": "d", "account_uuid": "", "session_id": "54c1eb09"}).decode()
OLDER_USER_ID = "user_0a1b_account__session_57a121ec-f78c"
# From the most to the least trusted: each wins over all below it.
ORDER: list[tuple[str, Mapping[str, str], Mapping[str, object], str]] = [
    ("x-claude-code-session-id", {"x-claude-code-session-id": "cc"}, {}, "cc"),
    ("metadata.user_id", {}, {"metadata": {"user_id": USER_ID}}, "54c1eb09"),
    ("session-id", {"session-id": "codex"}, {}, "codex"),
    ("session_id", {"session_id": "pi"}, {}, "pi"),
    ("x-session-id", {"x-session-id": "open"}, {}, "open"),
    ("x-session-affinity", {"x-session-affinity": "aff"}, {}, "aff"),
    ("x-opencode-session", {"x-opencode-session": "go"}, {}, "go"),
    ("prompt_cache_key", {}, {"prompt_cache_key": "pck"}, "pck"),
    ("conversation", {}, {"conversation": {"id": "conv_1"}}, "conv_1"),
    ("previous_response_id", {}, {"previous_response_id": "resp_1"}, "resp_1"),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_in_the_order_wins(first: int) -> None:
    headers: dict[str, str] = {}
    body: dict[str, object] = {}
    for _, more_headers, more_body, _ in ORDER[first:]:
        headers.update(more_headers)
        body.update(more_body)
    found = session_of(headers, body)
    assert found is not None
    assert (found.source, found.id) == (ORDER[first][0], ORDER[first][3])


def test_the_older_user_id_of_claude_code_is_read() -> None:
    found = session_of({}, {"metadata": {"user_id": OLDER_USER_ID}})
    assert found is not None
    assert found.id == "57a121ec-f78c"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, {}),
        ({"x-request-id": "r", "x-client-request-id": "r"}, {"id": "x", "user": "u"}),
        ({"session-id": "  "}, {"prompt_cache_key": "", "conversation": {}}),
        ({}, {"metadata": {"user_id": "someone"}}),
        ({}, {"metadata": {"user_id": "{"}}),
        ({}, {"metadata": {"user_id": "{" * 5000}}),
        ({}, {"metadata": {"user_id": '{"session_id": 5}'}}),
        ({}, {"metadata": [], "prompt_cache_key": 5, "conversation": [], "previous_response_id": {}}),
    ],
)
def test_ids_of_requests_and_odd_values_name_no_conversation(
    headers: Mapping[str, str], body: Mapping[str, object]
) -> None:
    assert session_of(headers, body) is None


def test_an_id_of_a_megabyte_is_kept_as_its_hash() -> None:
    one, two = (session_of({"session-id": "x" * 1_000_000 + end}, {}) for end in "ab")
    assert one is not None
    assert two is not None
    assert len(one.id) <= ID_LENGTH_LIMIT
    assert one != two


JSON = st.none() | st.integers() | st.text() | st.lists(st.text(), max_size=2) | st.dictionaries(st.text(), st.text())


@given(
    st.dictionaries(st.sampled_from(["session-id", "x-session-id"]), st.text()),
    st.dictionaries(st.sampled_from(["metadata", "prompt_cache_key", "conversation"]), JSON),
)
def test_any_kinds_of_values_are_survived(headers: Mapping[str, str], body: Mapping[str, object]) -> None:
    found = session_of(headers, body)
    assert found is None or 0 < len(found.id) <= ID_LENGTH_LIMIT


def conversation(question: str, *more: str, system: str = "Be brief.") -> Mapping[str, object]:
    roles = ("assistant", "user")
    turns = [{"role": roles[at % 2], "content": text} for at, text in enumerate(more)]
    return {"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}, *turns]}


def test_without_an_id_the_opening_stands_for_the_conversation() -> None:
    first = read("chat", conversation("why?")).session()
    later = read("chat", conversation("why?", "because", "and then?")).session()
    assert first is not None
    assert first.source == OPENING
    assert first == later
    assert read("chat", conversation("how?")).session() != first
    assert read("chat", conversation("why?", system="Be long.")).session() != first


def test_an_id_wins_over_the_opening() -> None:
    found = read("chat", conversation("why?"), headers={"session-id": "s"}).session()
    assert found is not None
    assert found.id == "s"
