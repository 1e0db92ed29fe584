"""A session is found without configuration; a configured header is the only one that counts."""

from random import Random

import orjson

from epp.config import default_config, parse_config
from epp.config.spellings import LLM_D
from epp.domain import Endpoint, EndpointId, EngineMetrics, Outcome, Pick, PoolId, PoolSpec, Request
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.picking.prepare import session_of
from epp.prompts.parsing import parse
from epp.prompts.request import InferenceRequest
from epp.testing import NOBODY
from gateway.wire import protocol

HEAD = f"apiVersion: {LLM_D}\nkind: EndpointPickerConfig\n"
BY_ID = "plugins:\n- type: session-affinity-scorer\n  parameters: {strategy: session_id%s}\n"
HEADERS = {"session-id": "codex-1", "x-mine": "mine-1"}


def session(plugins: str, headers: dict[str, str], **members: str) -> str | None:
    config = parse_config(
        HEAD + plugins + "schedulingProfiles: [{name: a, plugins: [{pluginRef: session-affinity-scorer}]}]\n", "x"
    )
    body = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **members})
    parsed = parse(Request(None, "POST", "/v1/chat/completions", headers, body))
    assert isinstance(parsed, InferenceRequest)
    found = session_of(parsed, config)
    return None if found is None else found.key


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


def test_tenants_that_choose_the_same_id_have_sessions_of_their_own() -> None:
    def of(tenant: str) -> str | None:
        return session(BY_ID % "", HEADERS | {protocol.FAIRNESS_ID: tenant})

    assert len({of("one"), of("two"), session(BY_ID % "", HEADERS), session(BY_ID % "", HEADERS, cache_salt="s")}) == 4
    assert of("one") == of("one")
    assert len(of("t" * 1_000_000) or "") < 300


WARM = {"session-id": "codex-1"}
POOL = PoolId("a/b")
ENDPOINTS = tuple(Endpoint(EndpointId(f"10.0.0.{at}:8000"), f"10.0.0.{at}", 8000, f"e{at}") for at in range(4))


def picker() -> Picker:
    made = Picker(default_config(), random=Random(1), replica="r", observer=NullObserver())
    made.replace_pools({POOL: PoolSpec(POOL, ENDPOINTS)}, 0.0)
    load(made, {}, 0.0)
    return made


def load(made: Picker, running: dict[EndpointId, int], now: float) -> None:
    for endpoint in ENDPOINTS:
        made.scraped(POOL, endpoint.id, EngineMetrics(0, running.get(endpoint.id, 0), 0.0), now)


def pick(made: Picker, prompt: str, now: float) -> EndpointId:
    """Of one session, whose prompts have nothing in common; the request ends at once."""
    body = orjson.dumps({"model": "m", "prompt": prompt * 500})
    verdict = made.submit(Request(POOL, "POST", "/v1/completions", WARM, body), NOBODY, now)
    assert isinstance(verdict, Pick)
    made.settle(verdict.id, Outcome.ENDED, now)
    return verdict.targets[0]


def test_by_default_a_session_stays_where_it_was_whatever_its_prompts_are() -> None:
    made = picker()
    assert len({pick(made, f"{number} ", 1.0 + number) for number in range(20)}) == 1


def test_by_default_load_wins_over_a_session() -> None:
    made = picker()
    first = pick(made, "one ", 1.0)
    load(made, {first: 200}, 2.0)
    assert pick(made, "two ", 2.1) != first


def test_a_decision_shows_the_session_and_the_field_that_named_it() -> None:
    made = picker()
    pick(made, "one ", 1.0)
    (decision,) = made.decisions.latest(1)
    assert decision["session"] == {"source": "session-id", "id": "codex-1", "tenant": ""}
