"""The `flowControl` section: limits, policies by reference, and what stands in for those that are not here."""

import pytest

from epp.config import ConfigError, parse_config
from epp.flowcontrol.ceilings import PriorityHoldback
from epp.flowcontrol.items import Limit
from epp.flowcontrol.ordering import EarliestDeadlineOrdering, SloDeadlineOrdering
from epp.flowcontrol.policies import RoundRobinFairness, TokenFairness, WeightedFairness
from epp.flowcontrol.settings import BAND_BYTES, BAND_REQUESTS, BandSettings

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
QUEUES = """\
featureGates: [flowControl]
plugins:
- {type: weighted-fairness-policy, parameters: {weights: {gold: 3}}}
- {type: priority-holdback-policy, name: holdback, parameters: {minCeiling: 0.5}}
flowControl:
  maxBytes: 1Gi
  maxTokens: 100k
  defaultRequestTTL: 10s
  usageLimitPolicyPluginRef: holdback
  enableEviction: true
  defaultPriorityBand: {maxRequests: 7, orderingPolicyRef: edf-ordering-policy}
  priorityBands:
  - {priority: 5, fairnessPolicyRef: weighted-fairness-policy, orderingPolicyRef: slo-deadline-ordering-policy}
  - {priority: -1, maxRequests: 0, maxTokens: 9}
"""


def test_the_section_and_its_plugins_become_the_settings_of_queues() -> None:
    queues = parse_config(HEAD + QUEUES, "x").queues
    assert queues is not None
    assert queues.limit == Limit(bytes=2**30, tokens=100_000)
    assert queues.band(5) == BandSettings(fairness=WeightedFairness({"gold": 3.0}), ordering=SloDeadlineOrdering())
    assert queues.band(-1) == BandSettings(Limit(BAND_REQUESTS, BAND_BYTES, 9))
    assert queues.band(0) == BandSettings(Limit(7, BAND_BYTES), ordering=EarliestDeadlineOrdering(10.0))
    assert queues.band(-2) == queues.band(0)
    assert queues.ceilings == PriorityHoldback(0.5)
    assert queues.evicts


def test_without_the_gate_nothing_waits() -> None:
    assert parse_config(HEAD + QUEUES.replace("[flowControl]", "[flowControl=false]"), "x").queues is None


@pytest.mark.parametrize(
    ("policy", "fairness"),
    [("program-aware-fairness", TokenFairness()), ("round-robin-fairness-policy", RoundRobinFairness())],
)
def test_a_policy_that_is_not_here_has_a_substitute(policy: str, fairness: object) -> None:
    section = f"featureGates: [flowControl]\nflowControl: {{defaultPriorityBand: {{fairnessPolicyRef: {policy}}}}}\n"
    queues = parse_config(HEAD + section, "x").queues
    assert queues is not None
    assert queues.default_band.fairness == fairness


def test_weights_of_fairness_are_more_than_nothing() -> None:
    wrong = "plugins: [{type: token-fairness-policy, parameters: {weights: {a: 0}}}]\n"
    with pytest.raises(ConfigError, match="weights: expected more than 0 for 'a', got 0"):
        parse_config(HEAD + wrong, "x")
