"""Upstream's black-box vectors, asked of the brain: endpoints 192.168.1.n, default scorers and LoRA affinity."""

from random import Random

import orjson
import pytest

from epp.config import parse_config
from epp.domain import (
    Endpoint,
    EndpointId,
    EngineMetrics,
    Pick,
    PoolId,
    PoolSpec,
    Reply,
    Request,
    RewriteRule,
    RewriteTarget,
    ServedModel,
    Ticket,
    Verdict,
)
from epp.picking.observer import NullObserver
from epp.picking.picker import Picker
from epp.testing import NOBODY
from gateway.wire import protocol
from gateway.wire.errors import ErrorCode, Rejection

POOL = PoolId("default/vllm-qwen3-32b-pool")
TARGET = "my-model-12345"
CONFIG = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- {type: kv-cache-utilization-scorer}
- {type: prefix-cache-scorer}
- {type: lora-affinity-scorer}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
  - {pluginRef: lora-affinity-scorer, weight: 1}
"""
PRIORITIES = {"my-model": 2, "sql-lora": 2, "sql-lora-sheddable": 0, "batch": -1}
Pod = tuple[int, float] | tuple[int, float, tuple[str, ...]]


def address(index: int) -> EndpointId:
    return EndpointId(f"192.168.1.{index + 1}:8000")


def picker(*pods: Pod, config: str = CONFIG, rewrites: tuple[RewriteRule, ...] = ()) -> Picker:
    """Pods as (queue, KV usage, adapters)."""
    made = Picker(parse_config(config, "test"), random=Random(1), replica="r", observer=NullObserver())
    endpoints = tuple(Endpoint(address(at), address(at).split(":")[0], 8000, f"pod-{at}") for at in range(len(pods)))
    made.replace_pools({POOL: PoolSpec(POOL, endpoints, PRIORITIES, rewrites, {"legacy": -1})}, 0.0)
    for at, pod in enumerate(pods):
        adapters = frozenset(pod[2]) if len(pod) == 3 else frozenset[str]()
        metrics = EngineMetrics(waiting=pod[0], running=0, kv_usage=pod[1], active_adapters=adapters, max_adapters=2)
        made.scraped(POOL, address(at), metrics, 1.0)
    return made


def ask(
    made: Picker, *, model: str = TARGET, headers: dict[str, str] | None = None, subset: tuple[str, ...] | None = None,
    body: bytes | None = None, path: str = "/v1/completions", method: str = "POST",
) -> Verdict:  # fmt: skip
    raw = (
        orjson.dumps({"max_tokens": 100, "model": model, "prompt": "test", "temperature": 0}) if body is None else body
    )
    return decided(made, Request(POOL, method, path, headers or {}, raw, subset))


def decided(made: Picker, request: Request) -> Verdict:
    verdict = made.submit(request, NOBODY, 1.1)
    assert not isinstance(verdict, Ticket)
    return verdict


def picked(verdict: Verdict) -> Pick:
    assert isinstance(verdict, Pick), verdict
    return verdict


def refused(verdict: Verdict) -> tuple[int, ErrorCode]:
    assert isinstance(verdict, Rejection), verdict
    return verdict.status, verdict.code


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        (((3, 0.2), (0, 0.1), (10, 0.2)), 1),
        (((0, 0.2, ("foo", "bar")), (0, 0.1, ("foo", TARGET)), (10, 0.2, ("foo", "bar"))), 1),
        (((10, 0.2, ("foo", "bar")), (10, 0.4, ("foo", TARGET)), (10, 0.3, ("foo", "bar"))), 1),
        (((6, 0.2, ("foo", "bar", TARGET)), (0, 0.85, ("foo", "bar")), (10, 0.9, ("foo", "bar"))), 0),
    ],
    ids=["lower queue and kv cache", "active lora, low queue", "lora despite higher kv", "do not shed by default"],
)
def test_the_endpoint_is_upstreams(pods: tuple[Pod, ...], expected: int) -> None:
    assert picked(ask(picker(*pods))).targets == (address(expected),)


PODS = ((0, 0.2), (0, 0.1), (10, 0.2))


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        (None, 1),
        ((address(0), address(1), address(2)), 1),
        ((address(0), address(2)), 0),
        ((address(2),), 2),
        ((address(2), "not an endpoint"), 2),
    ],
)
def test_a_subset_binds_the_choice(subset: tuple[str, ...] | None, expected: int) -> None:
    assert picked(ask(picker(*PODS), subset=subset)).targets == (address(expected),)


@pytest.mark.parametrize("subset", [(), ("192.168.9.9:8000",), ("192.168.1.1:9999",)])
def test_a_subset_that_allows_nobody_is_503(subset: tuple[str, ...]) -> None:
    assert refused(ask(picker(*PODS), subset=subset)) == (503, ErrorCode.NO_READY_ENDPOINT)


def test_no_endpoint_is_503_with_and_without_a_body() -> None:
    made = picker()
    assert refused(ask(made)) == (503, ErrorCode.NO_READY_ENDPOINT)
    assert refused(ask(made, body=b"", method="GET", path="/")) == (503, ErrorCode.NO_READY_ENDPOINT)


def test_a_request_without_body_is_scored_too() -> None:
    # Upstream picks at random there and ignores the subset.
    assert picked(ask(picker(*PODS), body=b"", method="GET", path="/health")).targets == (address(1),)
    assert picked(ask(picker(*PODS), body=b"", method="GET", subset=(address(2),), path="/x")).targets == (address(2),)


def test_bad_json_and_a_missing_model_are_400_and_reserve_nothing() -> None:
    made = picker(*PODS)
    assert refused(ask(made, body=b"no healthy upstream")) == (400, ErrorCode.INVALID_JSON)
    assert refused(ask(made, body=b'{"prompt":"hello world"}')) == (400, ErrorCode.INVALID_REQUEST)
    (pool,) = made.pools.describe(1.2)
    endpoints = pool["endpoints"]
    assert isinstance(endpoints, list)
    assert all(endpoint["in_flight"] == 0 for endpoint in endpoints)


def test_an_unknown_pool_and_an_unnamed_one_among_several_are_503() -> None:
    made = picker(*PODS)
    unknown = decided(made, Request(PoolId("default/other"), "POST", "/v1/completions", {}, b""))
    assert refused(unknown) == (503, ErrorCode.NO_READY_ENDPOINT)
    spec = PoolSpec(POOL, ())
    made.replace_pools({POOL: spec, PoolId("default/b"): spec}, 1.0)
    assert refused(decided(made, Request(None, "POST", "/v1/completions", {}, b"")))[0] == 503


def test_the_only_pool_needs_no_name() -> None:
    assert picked(decided(picker(*PODS), Request(None, "GET", "/x", {}, b""))).pool == POOL


def test_sheddable_requests_are_shed_by_their_objective() -> None:
    full = picker((9, 0.9), (9, 0.9))
    assert refused(ask(full, headers={protocol.OBJECTIVE: "batch"})) == (429, ErrorCode.POOL_SATURATED)
    picked(ask(full, headers={protocol.OBJECTIVE: "my-model"}))
    picked(ask(full, headers={protocol.OBJECTIVE: "nobody knows it"}))


def test_a_legacy_inference_model_ranks_requests_that_name_no_objective() -> None:
    full = picker((9, 0.9), (9, 0.9))
    assert refused(ask(full, model="legacy")) == (429, ErrorCode.POOL_SATURATED)
    picked(ask(full, model="legacy", headers={protocol.OBJECTIVE: "my-model"}))


RULES = (
    RewriteRule(frozenset({"model-to-be-rewritten"}), (RewriteTarget("rewritten-model", 1),)),
    RewriteRule(frozenset({"split"}), (RewriteTarget("blue", 3), RewriteTarget("green", 1))),
    RewriteRule(frozenset({"even"}), (RewriteTarget("blue", 0), RewriteTarget("green", 0))),
)


def test_a_rewritten_model_changes_only_its_value_in_the_body() -> None:
    body = b'{ "stream":true,\n "model" : "model-to-be-rewritten", "prompt": "a<b", "n": 9007199254740993 }'
    pick = picked(ask(picker(*PODS, rewrites=RULES), body=body))
    assert pick.body == body.replace(b'"model-to-be-rewritten"', b'"rewritten-model"')


def test_without_a_rewrite_the_body_is_not_touched() -> None:
    assert picked(ask(picker(*PODS, rewrites=RULES))).body is None


@pytest.mark.parametrize(("model", "share"), [("split", 0.75), ("even", 0.5)])
def test_rewrites_are_drawn_by_weight(model: str, share: float) -> None:
    made, blue = picker(*PODS, rewrites=RULES), 0
    for _ in range(800):
        blue += orjson.loads(picked(ask(made, model=model)).body or b"{}")["model"] == "blue"
    assert blue / 800 == pytest.approx(share, abs=0.06)


def test_the_rewrite_header_counts_where_no_rule_matches() -> None:
    made = picker(*PODS, rewrites=RULES)
    headers = {protocol.MODEL_NAME_REWRITE: "chosen"}
    assert orjson.loads(picked(ask(made, headers=headers)).body or b"{}")["model"] == "chosen"
    ruled = picked(ask(made, model="model-to-be-rewritten", headers=headers))
    assert orjson.loads(ruled.body or b"{}")["model"] == "rewritten-model"


def test_llm_ds_names_of_control_headers_count_and_win_over_the_known_ones() -> None:
    full = picker((100, 0.9), (100, 0.9))
    assert refused(ask(full, headers={"x-llm-d-inference-objective": "batch"})) == (429, ErrorCode.POOL_SATURATED)
    both = {"x-llm-d-inference-objective": "batch", protocol.OBJECTIVE: "my-model"}
    assert refused(ask(full, headers=both)) == (429, ErrorCode.POOL_SATURATED)
    rewritten = picked(ask(picker(*PODS), headers={"x-llm-d-model-name-rewrite": "chosen"}))
    assert orjson.loads(rewritten.body or b"{}")["model"] == "chosen"


def test_a_rewrite_header_of_llm_ds_name_is_checked_like_the_other() -> None:
    assert refused(ask(picker(*PODS), headers={"x-llm-d-model-name-rewrite": "a\nb"}))[0] == 400


def test_a_rule_without_models_matches_every_model() -> None:
    rules = (*RULES, RewriteRule(frozenset(), (RewriteTarget("all", 1),)))
    made = picker(*PODS, rewrites=rules)
    assert orjson.loads(picked(ask(made)).body or b"{}")["model"] == "all"
    assert orjson.loads(picked(ask(made, model="model-to-be-rewritten")).body or b"{}")["model"] == "rewritten-model"


def test_pick_ids_name_their_replica_and_never_repeat() -> None:
    made = picker(*PODS)
    ids = [picked(ask(made)).id for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(id_.rpartition("-")[0] == "r" for id_ in ids)


def test_the_model_list_is_vllms_shape_over_all_named_pools() -> None:
    made = picker(*PODS)
    other = PoolId("default/phi")
    pools = {POOL: PoolSpec(POOL, (Endpoint(address(0), "a", 1, "a"), Endpoint(address(1), "b", 1, "b"))),
             other: PoolSpec(other, (Endpoint(address(5), "c", 1, "c"),))}  # fmt: skip
    made.replace_pools(pools, 1.0)
    base = ServedModel("qwen", {"id": "qwen", "object": "model", "owned_by": "vllm", "parent": None})
    adapter = ServedModel("a-lora", {"id": "a-lora", "object": "model", "parent": "qwen"})
    phi = ServedModel("phi", {"id": "phi", "object": "model"})
    made.models_listed(POOL, address(0), (base, adapter), 1.0)
    made.models_listed(POOL, address(1), (base,), 1.0)
    made.models_listed(other, address(5), (phi,), 1.0)
    for method in ("GET", "HEAD"):
        reply = made.submit(Request(PoolId(f"{POOL}, {other}"), method, "/v1/models", {}), NOBODY, 1.1)
        assert isinstance(reply, Reply)
        listed = orjson.loads(reply.body)
        assert listed["object"] == "list"
        assert [item["id"] for item in listed["data"]] == ["phi", "qwen", "a-lora"]
        assert listed["data"][1] == base.item
    one = made.submit(Request(other, "GET", "/v1/models?x=1", {}), NOBODY, 1.1)
    assert isinstance(one, Reply)
    assert [item["id"] for item in orjson.loads(one.body)["data"]] == ["phi"]


def test_a_pool_at_zero_keeps_its_models_in_the_list() -> None:
    made = picker(*PODS)
    qwen = ServedModel("qwen", {"id": "qwen", "object": "model", "owned_by": "vllm"})
    made.models_listed(POOL, address(0), (qwen,), 1.0)
    made.replace_pools({POOL: PoolSpec(POOL, ())}, 2.0)

    reply = made.submit(Request(POOL, "GET", "/v1/models", {}), NOBODY, 3.0)
    assert isinstance(reply, Reply)
    assert orjson.loads(reply.body) == {"object": "list", "data": [qwen.item], "incomplete": [POOL]}


def test_after_a_restart_a_pool_at_zero_lists_the_models_that_objects_name() -> None:
    rules = (RewriteRule(frozenset({"phi"}), (RewriteTarget("phi-4", 1),)),)
    made = picker(rewrites=rules)
    made.replace_pools({POOL: PoolSpec(POOL, (), rewrites=rules, model_priorities={"qwen": 1})}, 1.0)

    reply = made.submit(Request(POOL, "GET", "/v1/models", {}), NOBODY, 3.0)
    assert isinstance(reply, Reply)
    assert [item["id"] for item in orjson.loads(reply.body)["data"]] == ["phi", "qwen"]


def test_ipv6_endpoints_keep_their_brackets() -> None:
    made = picker()
    id_ = EndpointId("[2001:db8::1]:8000")
    made.replace_pools({POOL: PoolSpec(POOL, (Endpoint(id_, "2001:db8::1", 8000, "six"),))}, 0.0)
    assert picked(ask(made)).destination == "[2001:db8::1]:8000"
