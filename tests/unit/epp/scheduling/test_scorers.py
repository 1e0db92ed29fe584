"""Upstream's published vectors for the scorers, and what is fixed rather than copied."""

from collections.abc import Mapping, Sequence

import pytest

from epp.testing import Candidate, candidate, decide

BODY = {"model": "target", "prompt": "short"}


def config(type_: str, parameters: str = "{}") -> str:
    return f"""\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {{type: {type_}, parameters: {parameters}}}
"""


def scores(
    type_: str,
    candidates: Sequence[Candidate],
    parameters: str = "{}",
    body: Mapping[str, object] = BODY,
    **more: object,
) -> list[float]:
    decided = decide(config(type_, parameters), candidates, body, **more)  # type: ignore[arg-type]
    return [decided.scores[type_][each.endpoint.name] for each in candidates]


def names(count: int) -> list[str]:
    return [f"pod{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("queues", "expected"), [([10, 5, 0], [0, 0.5, 1]), ([5, 5], [1, 1]), ([0, 0], [1, 1]), ([7], [1])]
)
def test_queue_scorer_normalises_between_the_shortest_and_the_longest(queues: list[int], expected: list[float]) -> None:
    found = [candidate(name, waiting=queue) for name, queue in zip(names(3), queues, strict=False)]
    assert scores("queue-scorer", found) == pytest.approx(expected, abs=1e-4)


def test_running_requests_scorer_uses_the_same_formula_on_running_requests() -> None:
    found = [candidate(name, running=running) for name, running in zip(names(3), [10, 5, 0], strict=True)]
    assert scores("running-requests-size-scorer", found) == pytest.approx([0, 0.5, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("usages", "expected"), [([0.8, 0.5, 0], [0.2, 0.5, 1]), ([0.6, 0.6], [0.4, 0.4]), ([1, 0.5], [0, 0.5])]
)
def test_kv_cache_scorer_is_the_free_share(usages: list[float], expected: list[float]) -> None:
    found = [candidate(name, kv_usage=usage) for name, usage in zip(names(3), usages, strict=False)]
    assert scores("kv-cache-utilization-scorer", found) == pytest.approx(expected, abs=1e-4)


def test_lora_scorer_ranks_active_room_waiting_and_full() -> None:
    found = [
        candidate("active", active_adapters=["target"], max_adapters=2),
        candidate("empty", max_adapters=2),
        candidate("waiting, with room", waiting_adapters=["target"], active_adapters=["a"], max_adapters=3),
        candidate("waiting, full", active_adapters=["a"], waiting_adapters=["target"], max_adapters=2),
        candidate("full", active_adapters=["a", "b"], max_adapters=2),
        candidate("none possible", max_adapters=0),
    ]
    assert scores("lora-affinity-scorer", found) == [1.0, 0.8, 0.8, 0.6, 0.0, 0.0]


@pytest.mark.parametrize(("queue", "expected"), [(0, 0.5), (64, 0.25), (128, 0.0), (500, 0.0)])
def test_load_aware_scorer_falls_from_a_half_to_nothing_at_its_threshold(queue: int, expected: float) -> None:
    assert scores("load-aware-scorer", [candidate("a", waiting=queue), candidate("b")])[0] == pytest.approx(expected)


def test_active_request_scorer_counts_what_is_in_flight() -> None:
    found = [candidate("a"), candidate("b")]
    decided = decide(config("active-request-scorer"), found, BODY, before=[BODY])
    assert sorted(decided.scores["active-request-scorer"].values()) == [0.0, 1.0]
    assert decided.totals[decided.targets[0]] == 1.0


def test_active_request_scorer_treats_few_requests_as_idle() -> None:
    decided = decide(config("active-request-scorer", "{idleThreshold: 1}"), [candidate("a")], BODY, before=[BODY])
    assert decided.scores["active-request-scorer"] == {"a": 1.0}


def test_token_load_scorer_counts_this_request_too() -> None:
    body = {"model": "m", "prompt": "x" * 4000}
    found = [candidate("a"), candidate("b")]
    decided = decide(config("token-load-scorer", "{queueThresholdTokens: 10000}"), found, body, before=[body])
    # One endpoint has 1000 tokens in flight and holds this prompt but for its last partial block (1000 − 960).
    assert sorted(decided.scores["token-load-scorer"].values()) == pytest.approx([1 - 1040 / 10000, 1 - 1000 / 10000])


def test_prefix_scorer_is_the_matched_share() -> None:
    before = {"model": "m", "prompt": "a" * 256 * 4}
    body = {"model": "m", "prompt": "a" * 256 * 4 + "b" * 256 * 4}
    decided = decide(config("prefix-cache-scorer"), [candidate("a"), candidate("b")], body, before=[before])
    assert sorted(decided.scores["prefix-cache-scorer"].values()) == [0.0, 0.5]


def test_prefix_scorer_can_weigh_the_matched_length() -> None:
    before = {"model": "m", "prompt": "a" * 256 * 4}
    body = {"model": "m", "prompt": "a" * 256 * 4 + "b" * 256 * 4}
    parameters = "{matchLengthWeight: 0.5, matchLengthScaleTokens: 512}"
    decided = decide(config("prefix-cache-scorer", parameters), [candidate("a")], body, before=[before])
    # Half the prompt, 256 of 512 tokens: 0.5 · (256/512)² + 0.5 · 0.5
    assert decided.scores["prefix-cache-scorer"] == {"a": pytest.approx(0.375)}


def test_no_hit_scorer_prefers_who_was_cold_longest_ago() -> None:
    found = [candidate(name) for name in names(3)]
    bodies = [{"model": "m", "prompt": str(number) * 1000} for number in range(5)]
    first, second, third = (
        decide(config("no-hit-lru-scorer"), found, bodies[count], before=bodies[:count]).targets[0]
        for count in (1, 2, 3)
    )
    before_that = decide(config("no-hit-lru-scorer"), found, bodies[0]).targets[0]
    assert {before_that, first, second} == {"pod0", "pod1", "pod2"}
    assert third == before_that


def test_no_hit_scorer_ranks_only_endpoints_that_are_present() -> None:
    # Upstream ranks by positions in a global list: absent endpoints push the rest down to 0.
    assert sorted(scores("no-hit-lru-scorer", [candidate("a"), candidate("b")])) == [0.0, 1.0]
    assert scores("no-hit-lru-scorer", [candidate("a")]) == [1.0]


def test_no_hit_scorer_says_nothing_when_somebody_has_a_hit() -> None:
    body = {"model": "m", "prompt": "x" * 4000}
    decided = decide(config("no-hit-lru-scorer"), [candidate("a"), candidate("b")], body, before=[body])
    assert set(decided.scores["no-hit-lru-scorer"].values()) == {0.5}


def test_context_length_scorer_prefers_the_narrow_range_that_fits() -> None:
    label = "llm-d.ai/context-length-range"
    found = [
        candidate("narrow", labels={label: "0-2048"}),
        candidate("wide", labels={label: "0-131072"}),
        candidate("too long", labels={label: "8192-131072"}),
        candidate("no label"),
    ]
    body = {"model": "m", "prompt": "x" * 4000, "max_tokens": 24}
    narrow, wide, too_long, none = scores("context-length-aware", found, body=body)
    assert narrow == pytest.approx(0.3 + 0.7 * (0.7 / 1.2048 + 0.3 * 1024 / 2048), abs=1e-4)
    assert too_long == pytest.approx(0.3 / (1 + 7168 / 1000), abs=1e-4)
    assert narrow > wide > none > too_long
    assert none == 0.5


def test_context_length_scorer_at_the_edges_of_labels() -> None:
    label = "llm-d.ai/context-length-range"
    spans = ["1024-1024", "0-1024", "1024-2048", "much", "2048-0"]
    found = [candidate(span, labels={label: span}) for span in spans]
    body = {"model": "m", "prompt": "x" * 4096}  # 1024 tokens
    narrow = 0.7 / (1 + 1024 / 10_000)
    expected = [1.0, 0.3 + 0.7 * narrow, 0.3 + 0.7 * (narrow + 0.3), 0.0, 0.0]
    assert scores("context-length-aware", found, body=body) == pytest.approx(expected)


def test_header_label_scorer_compares_a_header_with_a_label() -> None:
    found = [candidate("a", labels={"zone": "x"}), candidate("b", labels={"zone": "y"}), candidate("c")]
    parameters = "{headerName: X-Zone, labelKey: zone}"
    assert scores("header-label-affinity-scorer", found, parameters, headers={"x-zone": "y"}) == [0.0, 1.0, 0.0]
    assert scores("header-label-affinity-scorer", found, parameters) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("{type: linear_lower_is_better}", [1.0, 0.5, 0.0]),
        ("{type: linear_higher_is_better}", [0.0, 0.5, 1.0]),
        ("{type: linear_lower_is_better, normalization: {adaptiveRange: {}}}", [1.0, 0.5, 0.0]),
        ("{type: linear_lower_is_better, normalization: {fixedRange: {min: 0, max: 20}}}", [1.0, 0.75, 0.5]),
        ("{type: linear_higher_is_better, normalization: {fixedRange: {min: 0, max: 5}}}", [0.0, 1.0, 1.0]),
        ("{type: linear_lower_is_better, fixedRange: {min: 0, max: 20}}", [1.0, 0.75, 0.5]),
    ],
)
@pytest.mark.parametrize("key", ["attributeKey", "attribute"])
def test_attribute_scorer_is_linear(key: str, algorithm: str, expected: list[float]) -> None:
    found = [candidate(name, waiting=waiting) for name, waiting in zip(names(3), [0, 5, 10], strict=True)]
    parameters = f"{{{key}: waiting-queue, algorithm: {algorithm}}}"
    assert scores("endpoint-attribute-scorer", found, parameters) == pytest.approx(expected)


def test_an_attribute_that_no_endpoint_has_scores_nothing() -> None:
    parameters = "{attributeKey: custom.queue, algorithm: {type: linear_lower_is_better}}"
    assert scores("endpoint-attribute-scorer", [candidate("a"), candidate("b")], parameters) == [0.0, 0.0]


def test_session_scorer_prefers_the_endpoint_of_the_token() -> None:
    found = [candidate("10.0.0.1:8000"), candidate("10.0.0.2:8000")]
    first = decide(config("session-affinity-scorer"), found, BODY)
    assert first.pick is not None
    ((header, token),) = first.pick.explain
    assert header == "x-session-token"
    assert first.targets[0] not in token
    for seed in range(5):
        again = decide(config("session-affinity-scorer"), found, BODY, headers={header: token}, seed=seed)
        assert again.targets == first.targets
    unknown = decide(config("session-affinity-scorer"), found, BODY, headers={header: "unknown"})
    assert set(unknown.scores["session-affinity-scorer"].values()) == {0.0}


@pytest.mark.parametrize("header", ["X-Session-Mine", "x-mine"])
def test_session_tokens_may_travel_in_a_header_of_ones_own(header: str) -> None:
    found = [candidate(name) for name in names(4)]
    text = config("session-affinity-scorer", f"{{encodedEndpointHeaderConfig: {{header: {header}}}}}")
    first = decide(text, found, BODY)
    assert first.pick is not None
    ((answered, token),) = first.pick.explain
    assert answered == header.lower()
    for seed in range(5):
        assert decide(text, found, BODY, headers={answered: token}, seed=seed).targets == first.targets
    elsewhere = decide(text, found, BODY, headers={"x-session-token": token})
    assert set(elsewhere.scores["session-affinity-scorer"].values()) == {0.0}


def test_an_answer_carries_each_header_in_which_its_token_is_taken() -> None:
    text = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: session-affinity-scorer}
- {type: session-affinity-filter, parameters: {encodedEndpointHeaderConfig: {header: x-mine}}}
- {type: session-affinity-filter, name: again, parameters: {encodedEndpointHeaderConfig: {header: X-Mine}}}
"""
    decided = decide(text, [candidate("a")], BODY)
    assert decided.pick is not None
    assert sorted(name for name, _ in decided.pick.explain) == ["x-mine", "x-session-token"]
    assert len({token for _, token in decided.pick.explain}) == 1


def test_session_scorer_can_bind_by_id() -> None:
    found = [candidate(name) for name in names(4)]
    headers = {"x-session-id": "s-1"}
    first = decide(config("session-affinity-scorer", "{strategy: session_id}"), found, BODY, headers=headers)
    again = decide(
        config("session-affinity-scorer", "{strategy: session_id}"), found, BODY, headers=headers, before=[BODY]
    )
    assert again.scores["session-affinity-scorer"][first.targets[0]] == 1.0


def test_session_ids_may_stand_in_headers_of_ones_own() -> None:
    found = [candidate(name) for name in names(4)]
    sources = "sources: [{header: X-Agent}, {header: x-chat}], evictionTtlSeconds: 60"
    text = config("session-affinity-scorer", f"{{strategy: session_id, sessionIdConfig: {{{sources}}}}}")
    for headers in ({"x-agent": "s-1"}, {"x-chat": "s-1"}, {"x-agent": "s-1", "x-chat": "s-2"}):
        first = decide(text, found, BODY, headers=headers)
        again = decide(text, found, BODY, headers=headers, before=[BODY])
        assert again.scores["session-affinity-scorer"][first.targets[0]] == 1.0
    other = decide(text, found, BODY, headers={"x-session-id": "s-1"}, before=[BODY])
    assert set(other.scores["session-affinity-scorer"].values()) == {0.0}


def test_a_session_id_producer_without_parameters_reads_the_usual_header() -> None:
    found = [candidate(name) for name in names(4)]
    text = config("session-affinity-scorer", "{strategy: session_id}") + "- {type: session-id-producer}\n"
    first = decide(text, found, BODY, headers={"x-session-id": "s"})
    again = decide(text, found, BODY, headers={"x-session-id": "s"}, before=[BODY])
    assert again.scores["session-affinity-scorer"][first.targets[0]] == 1.0


def test_a_score_outside_its_range_is_clamped() -> None:
    class Wild:
        """Scores as it likes."""

        def score(self, view: object) -> list[float]:
            return [float("nan"), -3.0, 7.0]

    found = [candidate(name) for name in names(3)]
    decided = decide(config("wild"), found, BODY, own={"wild": dataclass_of(Wild)})
    assert list(decided.totals.values()) == [1.0, 0.0, 0.0]
    assert decided.targets == ("pod2",)


def dataclass_of(cls: type) -> type:
    from dataclasses import dataclass

    return dataclass(frozen=True, slots=True)(cls)
