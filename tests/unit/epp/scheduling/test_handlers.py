"""Which profile runs, and when prefill goes elsewhere."""

import pytest

from epp.testing import Candidate, Decided, candidate, decide
from gateway.wire.errors import ErrorCode

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
DISAGGREGATED = (
    HEAD
    + """\
plugins:
- {type: decode-filter}
- {type: prefill-filter}
- {type: prefix-cache-scorer}
- {type: queue-scorer}
- {type: DECIDER}
- {type: disagg-profile-handler, parameters: {deciders: {prefill: DECIDER}}}
schedulingProfiles:
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: queue-scorer}]
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: queue-scorer}]
"""
)
BODY = {"model": "m", "prompt": "x" * 4096}  # 1024 tokens


def pods(*roles: str) -> list[Candidate]:
    return [candidate(f"{role}-{at}", labels={"llm-d.ai/role": role}) for at, role in enumerate(roles)]


def prefiller(decided: Decided) -> str | None:
    assert decided.pick is not None
    return dict(decided.pick.headers).get("x-prefiller-host-port")


def config(decider: str, parameters: str = "") -> str:
    listed = f"{decider}{parameters}"
    return DISAGGREGATED.replace("{type: DECIDER}", f"{{type: {listed}}}").replace("DECIDER", decider)


def test_decode_and_prefill_go_to_endpoints_of_their_roles() -> None:
    decided = decide(config("always-disagg-pd-decider"), pods("decode", "prefill"), BODY)
    assert decided.targets == ("decode-0",)
    assert prefiller(decided) == "prefill-1"


@pytest.mark.parametrize(("threshold", "is_apart"), [(0, False), (512, True), (1024, True), (2000, False)])
def test_prefill_goes_apart_when_enough_is_uncached(threshold: int, is_apart: bool) -> None:
    text = config("prefix-based-pd-decider", f", parameters: {{nonCachedTokens: {threshold}}}")
    assert (prefiller(decide(text, pods("decode", "prefill"), BODY)) is not None) == is_apart


def test_a_prompt_cached_where_it_decodes_stays_there() -> None:
    text = config("prefix-based-pd-decider", ", parameters: {nonCachedTokens: 512}")
    assert prefiller(decide(text, pods("decode", "prefill"), BODY, before=[BODY])) is None


def test_without_a_prefill_endpoint_decode_does_both() -> None:
    decided = decide(config("always-disagg-pd-decider"), pods("decode"), BODY)
    assert decided.targets == ("decode-0",)
    assert prefiller(decided) is None


def test_without_a_decode_endpoint_there_is_no_answer() -> None:
    decided = decide(config("always-disagg-pd-decider"), pods("prefill"), BODY)
    assert decided.rejection is not None
    assert decided.rejection.status == 429


@pytest.mark.parametrize(("order", "is_apart"), [("decode-first", False), ("prefill-first", True)])
def test_without_a_decider_only_prefill_first_prefills_apart(order: str, is_apart: bool) -> None:
    text = config("always-disagg-pd-decider").replace(
        "deciders: {prefill: always-disagg-pd-decider}", f"stageOrder: {order}"
    )
    assert (prefiller(decide(text, pods("decode", "prefill"), BODY)) is not None) == is_apart


ENCODED = (
    HEAD
    + """\
plugins:
- {type: decode-filter}
- {type: encode-filter}
- {type: prefill-filter}
- {type: active-request-scorer}
- {type: max-score-picker, parameters: {maxNumOfEndpoints: 1}}
- {type: always-disagg-multimodal-decider}
- {type: always-disagg-pd-decider}
- {type: disagg-profile-handler, parameters: {deciders: {encode: always-disagg-multimodal-decider}}}
schedulingProfiles:
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: active-request-scorer}]
- name: encode
  plugins: [{pluginRef: encode-filter}, {pluginRef: active-request-scorer}, {pluginRef: max-score-picker}]
- name: prefill
  plugins: [{pluginRef: prefill-filter}]
"""
)
ENCODED_APART = ENCODED.replace("{encode: ", "{prefill: always-disagg-pd-decider, encode: ")
CHAT = "/v1/chat/completions"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
SEEN = {"model": "m", "messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "what?"}]}]}
PLAIN = {"model": "m", "messages": [{"role": "user", "content": "what?"}]}


def legs(decided: Decided) -> dict[str, str]:
    assert decided.pick is not None
    return dict(decided.pick.headers)


def test_media_are_encoded_where_the_encode_profile_says() -> None:
    decided = decide(ENCODED, pods("decode", "encode", "prefill"), SEEN, path=CHAT)
    assert decided.targets == ("decode-0",)
    assert legs(decided) == {"x-encoder-hosts-ports": "encode-1"}


def test_media_may_be_encoded_at_several_endpoints() -> None:
    text = ENCODED.replace("maxNumOfEndpoints: 1", "maxNumOfEndpoints: 2")
    explained = legs(decide(text, pods("decode", "encode", "encode", "decode"), SEEN, path=CHAT))[
        "x-encoder-hosts-ports"
    ]
    assert sorted(explained.split(",")) == ["encode-1", "encode-2"]


def test_what_the_proxy_would_walk_is_no_further_encoder() -> None:
    decided = decide(ENCODED, pods("decode", "encode", "encode", "decode"), SEEN, path=CHAT, fallbacks=2)
    assert len(decided.targets) == 2
    assert legs(decided)["x-encoder-hosts-ports"] in ("encode-1", "encode-2")


def test_all_three_legs_may_run_apart() -> None:
    decided = decide(ENCODED_APART, pods("decode", "encode", "prefill"), SEEN, path=CHAT)
    assert legs(decided) == {"x-prefiller-host-port": "prefill-2", "x-encoder-hosts-ports": "encode-1"}


def test_prompts_without_media_and_pools_without_encoders_have_no_such_leg() -> None:
    assert legs(decide(ENCODED, pods("decode", "encode"), PLAIN, path=CHAT)) == {}
    assert legs(decide(ENCODED, pods("decode"), SEEN, path=CHAT)) == {}


def test_encoders_take_turns_between_two_scrapes() -> None:
    first = decide(ENCODED, pods("decode", "encode", "encode"), SEEN, path=CHAT)
    second = decide(ENCODED, pods("decode", "encode", "encode"), SEEN, path=CHAT, before=[SEEN])
    assert {legs(each)["x-encoder-hosts-ports"] for each in (first, second)} == {"encode-1", "encode-2"}


HEADER = (
    HEAD
    + """\
plugins:
- {type: header-profile-handler}
- {type: decode-filter}
- {type: prefill-filter}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: decode-filter}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
"""
)


@pytest.mark.parametrize(("headers", "expected"), [({}, "decode-0"), ({"epp-profile": "prefill"}, "prefill-1")])
def test_a_header_names_the_profile(headers: dict[str, str], expected: str) -> None:
    assert decide(HEADER, pods("decode", "prefill"), BODY, headers=headers).targets == (expected,)


def test_an_unknown_profile_is_the_clients_mistake() -> None:
    decided = decide(HEADER, pods("decode"), BODY, headers={"epp-profile": "nonsense"})
    assert decided.rejection is not None
    assert (decided.rejection.status, decided.rejection.code) == (400, ErrorCode.INVALID_REQUEST)
    assert "'nonsense'" in decided.rejection.message
