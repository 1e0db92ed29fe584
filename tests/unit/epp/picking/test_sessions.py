"""A session is found without configuration; a configured header is the only one that counts."""

import orjson

from epp.config import parse_config
from epp.config.spellings import LLM_D
from epp.domain import Request
from epp.picking.prepare import session_of
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest

HEAD = f"apiVersion: {LLM_D}\nkind: EndpointPickerConfig\n"
BY_ID = "plugins:\n- type: session-affinity-scorer\n  parameters: {strategy: session_id%s}\n"
HEADERS = {"session-id": "codex-1", "x-mine": "mine-1"}


def session(plugins: str, headers: dict[str, str]) -> str | None:
    config = parse_config(
        HEAD + plugins + "schedulingProfiles: [{name: a, plugins: [{pluginRef: session-affinity-scorer}]}]\n", "x"
    )
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    parsed = parse(Request(None, "POST", "/v1/chat/completions", headers, body))
    assert isinstance(parsed, InferenceRequest)
    return session_of(parsed, config)


def test_what_clients_send_binds() -> None:
    assert session(BY_ID % "", HEADERS) == "codex-1"


def test_a_conversation_without_id_binds_by_its_opening() -> None:
    found = session(BY_ID % "", {})
    assert found
    assert found == session(BY_ID % "", {"x-request-id": "other"})


def test_a_configured_header_is_the_only_one() -> None:
    chosen = BY_ID % ", sessionIdConfig: {sources: [{header: x-mine}]}"
    assert session(chosen, HEADERS) == "mine-1"
    assert session(chosen, {"session-id": "codex-1"}) is None
