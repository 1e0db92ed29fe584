"""What is wrong with a configuration is said with file, line, path and the nearest valid name."""

# ruff: noqa: E501 - one case, one line
import pytest

from epp.config import ConfigError, parse_config

HEAD = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "epp.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("plugin: []\n", "epp.yaml:3: plugin: unknown field; did you mean 'plugins'?"),
        ("plugins:\n- {type: queue-scorr}\n", "epp.yaml:4: plugins[0].type: unknown plugin type 'queue-scorr'; did you mean 'queue-scorer'?"),
        ("plugins:\n- {type: kueue}\n", "epp.yaml:4: plugins[0].type: unknown plugin type 'kueue'; the nearest is 'queue-scorer'"),
        ("plugins:\n- {name: x}\n", "epp.yaml:4: plugins[0].type: required"),
        ("plugins:\n- {type: max-score-picker, parameters: {maxNumOfEndpoint: 2}}\n", "epp.yaml:4: plugins[0].parameters.maxNumOfEndpoint: unknown field; did you mean 'maxNumOfEndpoints'?"),
        ("plugins:\n- type: max-score-picker\n  parameters:\n    maxNumOfEndpoints: two\n", "epp.yaml:6: plugins[0].parameters.maxNumOfEndpoints: expected a whole number, got 'two'"),
        ("plugins:\n- {type: max-score-picker, parameters: {maxNumOfEndpoints: 0}}\n", "epp.yaml:4: plugins[0].parameters.maxNumOfEndpoints: expected at least 1, got 0"),
        ("plugins:\n- {type: queue-scorer}\n- {type: queue-scorer}\n", "epp.yaml:5: plugins[1]: another plugin is named 'queue-scorer', too; give one of them a name of its own"),
        ("plugins:\n- {type: approx-prefix-cache-producer, parameters: {volatileLines: [x]}}\n", "epp.yaml:4: plugins[0].parameters: volatileLines: the beginning of a line has 3 to 200 characters, all of one line"),
        ("featureGates: [flowControll]\n", "epp.yaml:3: featureGates[0]: unknown feature gate 'flowControll'; did you mean 'flowControl'?"),
        ("featureGates: [flowControl=maybe]\n", "epp.yaml:3: featureGates[0]: expected flowControl=true or flowControl=false, got 'maybe'"),
        ("plugins: [{type: queue-scorer}]\nschedulingProfiles:\n- name: default\n  plugins:\n  - {pluginRef: kueue-scorer}\n", "epp.yaml:7: schedulingProfiles[0].plugins[0].pluginRef: no plugin is named 'kueue-scorer'; did you mean 'queue-scorer'?"),
        ("schedulingProfiles:\n- name: default\n  plugins:\n  - {pluginRef: queue-scorer, weight: heavy}\n", "epp.yaml:6: schedulingProfiles[0].plugins[0].weight: expected a number, got 'heavy'"),
        ("schedulingProfiles:\n- name: default\n  plugins:\n  - {pluginRef: single-profile-handler}\n", "epp.yaml:6: schedulingProfiles[0].plugins[0].pluginRef: 'single-profile-handler' (single-profile-handler) is no filter, scorer or picker"),
        ("schedulingProfiles: [{name: a}, {name: a}]\n", "epp.yaml:3: schedulingProfiles[1]: another profile is named 'a', too"),
        ("schedulingProfiles: [{name: a}, {name: b}]\n", "epp.yaml:3: schedulingProfiles: single-profile-handler needs exactly one profile, found 2; list a profile handler among the plugins"),
        ("plugins: [{type: single-profile-handler}, {type: header-profile-handler}]\n", "epp.yaml:3: plugins[1]: there is a profile handler already: 'single-profile-handler'"),
        ("plugins: [{type: max-score-picker}, {type: random-picker}]\nschedulingProfiles: [{name: a, plugins: [{pluginRef: max-score-picker}, {pluginRef: random-picker}]}]\n", "epp.yaml:4: schedulingProfiles[0].plugins[1].pluginRef: profile 'a' has a picker already"),
        ("plugins:\n- {type: max-score-picker}\n- {type: random-picker}\n", "epp.yaml:5: plugins[1]: there is a picker already; say in schedulingProfiles which one picks"),
        ("plugins:\n- {type: metrics-data-source, parameters: {interval: 1ms}}\n", "epp.yaml:4: plugins[0].parameters.interval: expected at least 0.05, got '1ms'"),
        ("plugins:\n- {type: models-data-source, parameters: {interval: 0}}\n", "epp.yaml:4: plugins[0].parameters.interval: expected at least 0.05, got 0"),
        ("saturationDetector: {pluginRef: queue-scorer}\n", "epp.yaml:3: saturationDetector.pluginRef: 'queue-scorer' (queue-scorer) is no saturation detector"),
        ("parser: {pluginRef: queue-scorer}\n", "epp.yaml:3: parser.pluginRef: 'queue-scorer' (queue-scorer) is no parser"),
        ("plugins:\n- {type: utilization-detector, parameters: {queueDepthThreshold: 0}}\n", "epp.yaml:4: plugins[0].parameters.queueDepthThreshold: expected more than 0, got 0"),
        ("plugins:\n- {type: utilization-detector, parameters: {kvCacheUtilThreshold: 1.5}}\n", "epp.yaml:4: plugins[0].parameters.kvCacheUtilThreshold: expected at most 1, got 1.5"),
        ("plugins:\n- {type: utilization-detector, parameters: {metricsStalenessThreshold: 0}}\n", "epp.yaml:4: plugins[0].parameters.metricsStalenessThreshold: expected more than 0, got 0"),
        ("plugins:\n- {type: utilization-detector, parameters: {headroom: -1}}\n", "epp.yaml:4: plugins[0].parameters.headroom: expected at least 0, got -1"),
        ("plugins:\n- {type: session-id-producer}\n- {type: session-id-producer, name: other, parameters: {headerName: a, cookieName: b}}\n", "epp.yaml:5: plugins[1].parameters: set exactly one of headerName and cookieName"),
        ("plugins:\n- {type: session-affinity-filter, parameters: {encodedEndpointHeaderConfig: {header: Set-Cookie}}}\n", "epp.yaml:4: plugins[0].parameters.encodedEndpointHeaderConfig: header: 'Set-Cookie' cannot carry a session token"),
        ("plugins:\n- {type: session-affinity-scorer, parameters: {encodedEndpointHeaderConfig: {header: 'a b'}}}\n", "epp.yaml:4: plugins[0].parameters.encodedEndpointHeaderConfig: header: 'a b' cannot carry a session token"),
        ("plugins:\n- {type: core-metrics-extractor, parameters: {defaultEngine: vlm}}\n", "epp.yaml:4: plugins[0].parameters: unknown defaultEngine 'vlm'; known: sglang, triton, triton-tensorrt-llm, trtllm-serve, vllm"),
        ("plugins:\n- {type: disagg-profile-handler, parameters: {deciders: {prefill: nobody}}}\nschedulingProfiles: [{name: decode}]\n", "epp.yaml:4: plugins[0].parameters.deciders.prefill: no plugin is named 'nobody'"),
        ("plugins:\n- {type: disagg-profile-handler, parameters: {deciders: {prefill: queue-scorer}}}\nschedulingProfiles: [{name: decode}]\n", "epp.yaml:4: plugins[0].parameters.deciders.prefill: 'queue-scorer' (queue-scorer) is no decider"),
        ("plugins:\n- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: aprox-prefix-cache-producer}}\n", "epp.yaml:4: plugins[0].parameters.prefixMatchInfoProducerName: no plugin is named 'aprox-prefix-cache-producer'; did you mean 'approx-prefix-cache-producer'?"),
        ("plugins:\n- {type: no-hit-lru-scorer, parameters: {prefixMatchInfoProducerName: queue-scorer}}\n", "epp.yaml:4: plugins[0].parameters.prefixMatchInfoProducerName: 'queue-scorer' (queue-scorer) is no prefix producer"),
        ("plugins:\n- {type: active-request-scorer, parameters: {inFlightLoadProducerName: token-producer}}\n", "epp.yaml:4: plugins[0].parameters.inFlightLoadProducerName: 'token-producer' (token-producer) is no load producer"),
        ("flowControl: {usageLimitPolicyPluginRef: static-usage-limit}\n", "epp.yaml:3: flowControl.usageLimitPolicyPluginRef: no plugin is named 'static-usage-limit'; did you mean 'static-usage-limit-policy'?"),
        ("flowControl:\n  priorityBands:\n  - {priority: 1, fairnessPolicyRef: fcfs-ordering-policy}\n", "epp.yaml:5: flowControl.priorityBands[0].fairnessPolicyRef: 'fcfs-ordering-policy' (fcfs-ordering-policy) is no fairness policy"),
        ("dataLayer: {sources: [{pluginRef: queue-scorer}]}\n", "epp.yaml:3: dataLayer.sources[0].pluginRef: 'queue-scorer' (queue-scorer) is no source"),
        ("dataLayer: {sources: [{pluginRef: metrics-data-source, extractors: [{}]}]}\n", "epp.yaml:3: dataLayer.sources[0].extractors[0].pluginRef: required"),
        ("dataLayer: {sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: queue-scorer}]}]}\n", "epp.yaml:3: dataLayer.sources[0].extractors[0].pluginRef: 'queue-scorer' (queue-scorer) is no extractor"),
        ("parser: {pluginRef: latency-scorer}\n", "epp.yaml:3: parser.pluginRef: 'latency-scorer' (latency-scorer) is no parser"),
        ("schedulingProfile:\n- name: x\n", "epp.yaml:3: schedulingProfile: unknown field; did you mean 'schedulingProfiles'?"),
        ("plugins:\n- type: max-score-picker\n  parameters:\n    maxNumOfEndpoint:\n      2\n", "epp.yaml:6: plugins[0].parameters.maxNumOfEndpoint: unknown field; did you mean 'maxNumOfEndpoints'?"),
        ("plugins:\n- {type: max-score-picker, parameters: {maxNumOfEndpoints: 1" + 400 * "0" + "}}\n", "epp.yaml:4: plugins[0].parameters.maxNumOfEndpoints: expected a whole number, got a huge number"),
        ("plugins:\n- {type: max-score-picker, parameters: {[1, 2]: 3}}\n", "epp.yaml:4: plugins[0].parameters: expected a name before the colon"),
        ("plugins:\n- {type: header-label-affinity-scorer, parameters: {headerName: x}}\n", "epp.yaml:4: plugins[0].parameters: headerName and labelKey are needed"),
        ("plugins:\n- {type: utilization-filter}\n", "epp.yaml:4: plugins[0].type: at least one condition is needed"),
        ("plugins:\n- {type: utilization-filter, parameters: {conditions: [{metric: waiting-queue}]}}\n", "epp.yaml:4: plugins[0].parameters.conditions[0]: a condition needs metric and maxValue"),
        ("plugins:\n- {type: utilization-filter, parameters: {conditions: [{metric: kv-cache-utilization, maxValue: 80}]}}\n", "epp.yaml:4: plugins[0].parameters.conditions[0]: kv-cache-utilization is a share: maxValue must be at most 1, got 80"),
        ("plugins:\n- {type: endpoint-attribute-filter}\n", "epp.yaml:4: plugins[0].type: attribute is missing"),
        ("plugins:\n- {type: endpoint-attribute-filter, parameters: {attribute: x, algorithm: {threshold: {operator: LesThan, value: 1}}}}\n", "epp.yaml:4: plugins[0].parameters.algorithm.threshold.operator: expected one of LessThan, LessThanOrEqual, GreaterThan, GreaterThanOrEqual, Equal, NotEqual, got 'LesThan'"),
        ("plugins:\n- {type: endpoint-attribute-scorer, parameters: {attributeKey: x}}\n", "epp.yaml:4: plugins[0].parameters: algorithm.type is missing"),
        ("plugins:\n- {type: endpoint-attribute-scorer, parameters: {attributeKey: x, algorithm: {type: linear_lower_is_better, normalization: {fixedRange: {min: 5, max: 1}}}}}\n", "epp.yaml:4: plugins[0].parameters.algorithm.normalization.fixedRange: min must be below max, got 5 and 1"),
        ("plugins:\n- {type: label-selector-filter, parameters: {matchExpressions: [{key: a, operator: In}]}}\n", "epp.yaml:4: plugins[0].parameters.matchExpressions[0]: operator In needs values"),
        ("plugins:\n- {type: label-selector-filter, parameters: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}\n", "epp.yaml:4: plugins[0].parameters.matchExpressions[0]: operator Exists needs no values"),
        ("plugins:\n- {type: label-selector-filter, parameters: {matchExpressions: [{operator: Exists}]}}\n", "epp.yaml:4: plugins[0].parameters.matchExpressions[0]: key is missing"),
        ("schedulingProfiles: [{name: ''}]\n", "epp.yaml:3: schedulingProfiles[0].name: may not be empty"),
        ("flowControl: {defaultRequestTTL: soon}\n", "epp.yaml:3: flowControl.defaultRequestTTL: expected a duration such as 10s, 200ms or 1m30s, got 'soon'"),
        ("flowControl: {maxBytes: plenty}\n", "epp.yaml:3: flowControl.maxBytes: expected a quantity such as 1Gi, 500M or 100, got 'plenty'"),
        ("plugins: {}\nplugins: []\n", "epp.yaml:4: plugins: written twice"),
        ("plugins: 7\n", "epp.yaml:3: plugins: expected a list, got 7"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(body: str, expected: str) -> None:
    assert any(found.startswith(expected) for found in problems(HEAD + body))


def test_all_mistakes_are_told_at_once_in_order_of_lines() -> None:
    found = problems(HEAD + "plugins:\n- {type: nonsense-1}\n- {type: nonsense-2}\nfeatureGates: [x]\n")
    assert len(found) == 3
    assert [problem.split(":")[1] for problem in found] == ["4", "5", "6"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "epp.yaml:1: the document is empty"),
        ("a: [1, 2\n", "not valid YAML"),
        ("- 1\n", "epp.yaml:1: expected an object, got a list"),
        ("apiVersion: llm-d.ai/v2\nkind: EndpointPickerConfig\n", "epp.yaml:1: apiVersion: unknown apiVersion 'llm-d.ai/v2'"),
        ("apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPicker\n", "epp.yaml:2: kind: expected EndpointPickerConfig, got 'EndpointPicker'"),
        ("a: 1\n---\nb: 2\n", "epp.yaml:3: expected one document, got several"),
        ("plugins: " + 5000 * "[" + 5000 * "]", "epp.yaml:1: not valid YAML: nested deeper than 64"),
        ("kind: a\x00b", "epp.yaml:1: not valid YAML: unacceptable character #x0000"),
    ],
)  # fmt: skip
def test_what_is_no_configuration_at_all_is_refused(text: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text))
