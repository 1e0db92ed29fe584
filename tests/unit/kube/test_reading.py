"""Each kind is read strictly: right documents become values, wrong ones name every mistake."""

from pathlib import Path

import pytest

from gateway.kube.objects import (
    AccessPolicy,
    BackendTLSPolicy,
    Balancer,
    CertificateRef,
    Criticality,
    DestinationRule,
    Ejection,
    EndpointSlice,
    FailureMode,
    Gateway,
    HTTPRoute,
    InferenceModel,
    InferenceModelRewrite,
    InferenceObjective,
    InferencePool,
    LabelSelector,
    Mirror,
    ObjectName,
    PathType,
    Pod,
    PolicyTarget,
    Redirect,
    TlsMode,
    Validation,
)
from gateway.kube.reading.contents import entries
from gateway.kube.reading.documents import cluster_document, documents
from gateway.kube.reading.table import READERS, read
from gateway.schema.problems import Findings, Problem
from gateway.schema.yamltext import parse


def read_one(text: str) -> tuple[object, list[str], list[str]]:
    findings = Findings()
    (document,) = (
        each for located in parse(text, "f.yaml", findings) for each in documents(located, "f.yaml", findings)
    )
    assert findings.problems == []
    found, findings = read(document), document.value.findings
    return found, [str(item) for item in findings.problems], [str(item) for item in findings.notes]


def head(kind: str, version: str = "gateway.networking.k8s.io/v1") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n"


POOL = head("InferencePool", "inference.networking.k8s.io/v1")
ROUTE = head("HTTPRoute")
SLICE = head("EndpointSlice", "discovery.k8s.io/v1")


def test_a_pool_is_read_with_its_defaults() -> None:
    found, problems, notes = read_one(
        POOL + "spec:\n  selector: {matchLabels: {app: a}}\n  targetPorts: [{number: 8000}]\n"
        "  endpointPickerRef: {name: epp, port: {number: 9002}}\n"
    )

    assert (problems, notes) == ([], [])
    assert isinstance(found, InferencePool)
    assert found.picker is not None
    assert (found.picker.failure_mode, found.h2c, found.target_ports) == (FailureMode.CLOSE, False, (8000,))


def test_a_pool_of_the_old_api_is_the_same_value() -> None:
    old, problems, _ = read_one(
        head("InferencePool", "inference.networking.x-k8s.io/v1alpha2")
        + "spec: {selector: {app: a}, targetPortNumber: 8000, extensionRef: {name: epp}}\n"
    )
    new, _, _ = read_one(
        POOL + "spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8000}],"
        " endpointPickerRef: {name: epp, port: {number: 9002}}}\n"
    )

    assert problems == []
    assert old == new


V1ALPHA2_POOL = head("InferencePool", "inference.networking.x-k8s.io/v1alpha2")


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        pytest.param(
            POOL + "spec: {selector: {app: a}, targetPorts: [{number: 8000}], extensionRef: {name: epp, port: 9002}}",
            ["spec.selector: the API v1 wants them in matchLabels", "spec.extensionRef: the API v1 calls it endpoint"],
            id="article",
        ),
        pytest.param(
            POOL + "spec: {selector: {app: a}, targetPortNumber: 8000, extensionRef: {name: epp, portNumber: 9002}}",
            ["spec.selector: ", "spec.targetPortNumber: the API v1 calls it targetPorts", "spec.extensionRef: "],
            id="old-fields-in-v1",
        ),
        pytest.param(
            V1ALPHA2_POOL + "spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8000}],"
            " endpointPickerRef: {name: epp, port: {number: 9002}}}",
            [
                "spec.selector: the API v1alpha2 wants the labels themselves",
                "spec.targetPorts: the API v1alpha2 calls it targetPortNumber",
                "spec.endpointPickerRef: the API v1alpha2 calls it extensionRef",
            ],
            id="new-fields-in-v1alpha2",
        ),
    ],
)
def test_forms_that_documents_mix_are_the_same_value_with_a_note(text: str, noted: list[str]) -> None:
    plain, _, _ = read_one(
        POOL + "spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8000}],"
        " endpointPickerRef: {name: epp, port: {number: 9002}}}"
    )
    found, problems, notes = read_one(text)

    assert problems == []
    assert found == plain
    assert len(notes) == len(noted)
    assert all(any(part in note for note in notes) for part in noted), notes


def test_a_pool_may_have_no_port_and_no_picker() -> None:
    found, problems, notes = read_one(V1ALPHA2_POOL + "spec: {selector: {app: a}}")

    assert problems == []
    assert isinstance(found, InferencePool)
    assert (found.target_ports, found.picker) == ((), None)
    (note,) = notes
    assert "spec.targetPorts: no port: only endpoints with a port of their own are served" in note


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            "{selector: {a: b}, targetPorts: [{number: 1}], targetPortNumber: 1, extensionRef: {name: e, prot: 1}}",
            ["spec.targetPortNumber: only one of targetPorts and", "spec.extensionRef.prot: unknown field; did you"],
            id="both",
        ),
        pytest.param(
            "{selector: {matchLabels: {}}, targetPorts: [{number: 1}]}", ["1 to 64 entries, got 0"], id="empty"
        ),
        pytest.param(
            "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}, {number: 1}]}",
            ["spec.targetPorts: port number must be unique"],
            id="same-ports",
        ),
        pytest.param(
            "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 70000}]}",
            ["spec.targetPorts[0].number: expected 1 to 65535, got 70000"],
            id="port-range",
        ),
        pytest.param(
            "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}], endpointPickerRef: {name: e}}",
            ["spec.endpointPickerRef.port: port is required when kind is 'Service'"],
            id="no-port",
        ),
        pytest.param(
            "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}],"
            " endpointPickerRef: {name: e, port: {number: 1}, failureMode: Open}}",
            ["failureMode: expected one of FailOpen, FailClose, got 'Open'"],
            id="failure-mode",
        ),
        pytest.param(
            "{selector: {matchLabels: {a: '-'}}, targetPorts: []}", ["a label value", "1 to 8 items"], id="two"
        ),
        pytest.param(
            "{selector: {matchLabels: {a: b}}, targetPort: [{number: 1}]}",
            ["spec.targetPort: unknown field; did you mean 'targetPorts'?"],
            id="misspelt",
        ),
    ],
)
def test_a_wrong_pool_names_every_mistake(spec: str, expected: list[str]) -> None:
    _, problems, _ = read_one(POOL + f"spec: {spec}\n")

    printed = "\n".join(problems)
    assert all(part in printed for part in expected), printed
    assert all(problem.startswith("f.yaml:4: spec") for problem in problems)


def test_a_route_is_read_whole() -> None:
    found, problems, _ = read_one(
        ROUTE
        + """
spec:
  parentRefs: [{name: g, namespace: infra, sectionName: http, port: 80}]
  hostnames: [API.example.com, "*.example.com"]
  rules:
  - matches:
    - path: {type: Exact, value: /a}
      method: POST
      headers: [{name: X-A, value: one}, {name: x-a, value: two}]
      queryParams: [{name: Q, type: RegularExpression, value: "[0-9]+"}]
    timeouts: {request: 1m30s, backendRequest: 500ms}
    filters:
    - {type: RequestMirror, requestMirror: {fraction: {numerator: 1, denominator: 3}, backendRef: {name: s, port: 80}}}
    backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: p, weight: 0}
    - {name: s, port: 80}
  - filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]
"""
    )

    assert problems == []
    assert isinstance(found, HTTPRoute)
    first, second = found.rules
    assert found.hostnames == ("api.example.com", "*.example.com")
    assert found.parents[0].id == ObjectName("infra", "g")
    (match,) = first.matches
    assert (match.path.type, match.method, match.query[0].regex) == (PathType.EXACT, "POST", True)
    assert [(item.name, item.value) for item in match.headers] == [("x-a", "one")], "the first of a name counts"
    assert (first.timeouts.request, first.timeouts.backend_request) == (90.0, 0.5)
    assert [backend.weight for backend in first.backends] == [0, 1]
    assert isinstance(first.filters[0], Mirror)
    assert (first.filters[0].numerator, first.filters[0].denominator) == (1, 3)
    assert isinstance(second.filters[0], Redirect)
    assert second.matches[0].path.value == "/"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{matches: [{path: {value: a}}]}", "must start with '/'"),
        ("{matches: [{path: {value: /a//b}}]}", "must not contain"),
        ("{matches: [{path: {type: RegularExpression, value: '('}}]}", "not a regular expression"),
        ("{matches: [{path: {type: RegularExpression, value: '/(?!a)'}}]}", "lookaround"),
        ("{matches: [{headers: [{name: 'a b', value: c}]}]}", "not a name"),
        ("{matches: [{method: FETCH}]}", "expected one of"),
        ("{backendRefs: [{name: s, kind: Service}]}", "must have port for Service reference"),
        ("{filters: [{type: CORS, cors: {allowOrigins: [x.org]}}]}", "expected '*' or an origin such as"),
        ("{filters: [{type: CORS, cors: {allowMethods: [FETCH]}}]}", "expected one of GET, HEAD"),
        ("{filters: [{type: CORS, cors: {allowHeaders: ['a b']}}]}", "not a header name: 'a b'"),
        ("{filters: [{type: CORS, cors: {allowOrigin: []}}]}", "did you mean 'allowOrigins'?"),
        ("{filters: [{type: ExtensionRef}]}", "filters[0].extensionRef: required"),
        ("{backendRefs: [{name: s, port: 80, weight: -1}]}", "expected 0 to 1000000, got -1"),
        ("{backendRef: [{name: s, port: 80}]}", "unknown field; did you mean 'backendRefs'?"),
        ("{timeouts: {request: 5}}", "expected a string, got 5"),
        ("{timeouts: {request: 5min}}", "expected a duration such as 10s"),
        ("{timeouts: {request: 1s, backendRequest: 2s}}", "cannot be longer"),
        ("{filters: [{type: Magic}]}", "expected one of RequestHeaderModifier"),
        ("{filters: [{type: URLRewrite}]}", "filters[0].urlRewrite: required"),
        (
            "{filters: [{type: RequestRedirect, requestRedirect: {}}], backendRefs: [{name: s, port: 80}]}",
            "must not be used together",
        ),
        pytest.param(
            "{matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: "
            "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}",
            "PathPrefix",
        ),
        (
            "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Host, value: a}]}}]}",
            "URLRewrite",
        ),
        ("3", "expected an object, got 3"),
    ],
)
def test_a_wrong_rule_is_a_problem(rule: str, expected: str) -> None:
    _, problems, _ = read_one(ROUTE + f"spec:\n  rules:\n  - {rule}\n")

    assert expected in "\n".join(problems)
    assert all(problem.startswith("f.yaml:6: spec.rules[0]") for problem in problems)


def test_a_gateway_is_read_and_a_repeated_listener_refused() -> None:
    found, problems, notes = read_one(
        head("Gateway") + "spec:\n  gatewayClassName: c\n  addresses: [{value: 10.0.0.1}, {type: x/y, value: z}]\n"
        "  listeners:\n"
        "  - {name: a, port: 80, protocol: HTTP}\n  - {name: a, port: 81, protocol: HTTP}\n"
    )

    assert isinstance(found, Gateway)
    assert [listener.port for listener in found.listeners] == [80, 81]
    assert found.addresses == ("10.0.0.1",)
    assert problems == ["f.yaml:7: spec.listeners: listener names must be unique (Gateway default/x)"]
    assert notes == [
        "f.yaml:6: spec.addresses[1].type: addresses of type 'x/y' are without effect here (Gateway default/x)"
    ]


def test_namespaces_are_selected_by_labels_and_expressions() -> None:
    found, problems, _ = read_one(
        head("Gateway") + "spec:\n  gatewayClassName: c\n  listeners:\n  - name: a\n    port: 80\n    protocol: HTTP\n"
        "    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}, matchExpressions: "
        "[{key: tier, operator: In, values: [x, y]}, {key: tier, operator: NotIn, values: [z]}, "
        "{key: open, operator: Exists}, {key: shut, operator: DoesNotExist}]}}}\n"
    )

    assert isinstance(found, Gateway)
    assert problems == []
    selector = found.listeners[0].namespace_selector
    assert selector.matches({"team": "a", "tier": "x", "open": ""})
    for labels in (
        {"team": "b", "tier": "x", "open": ""},
        {"team": "a", "tier": "z", "open": ""},
        {"team": "a", "open": ""},
        {"team": "a", "tier": "x"},
        {"team": "a", "tier": "x", "open": "", "shut": ""},
    ):
        assert not selector.matches(labels)


def test_an_expression_has_the_values_that_its_operator_takes() -> None:
    _, problems, _ = read_one(
        head("Gateway") + "spec:\n  gatewayClassName: c\n  listeners:\n  - name: a\n    port: 80\n    protocol: HTTP\n"
        "    allowedRoutes: {namespaces: {from: Selector, selector: {matchExpressions: "
        "[{key: a, operator: In}, {key: b, operator: Exists, values: [x]}, {key: c}]}}}\n"
    )

    path = "spec.listeners[0].allowedRoutes.namespaces.selector.matchExpressions"
    assert [problem.split()[1].rstrip(":") for problem in problems] == [
        f"{path}[0].values",
        f"{path}[1].values",
        f"{path}[2].operator",
    ]


@pytest.mark.parametrize(
    ("kind", "address", "good"),
    [
        ("IPv4", "10.0.0.1", True),
        ("IPv4", "10.0.0", False),
        ("IPv4", "::1", False),
        ("IPv6", "fd00::1", True),
        ("IPv6", "10.0.0.1", False),
        ("FQDN", "model-sim-a", True),
        ("FQDN", "a b", False),
    ],
)
def test_a_slice_holds_addresses_of_its_type(kind: str, address: str, good: bool) -> None:
    found, problems, _ = read_one(SLICE + f"addressType: {kind}\nendpoints:\n- addresses: ['{address}']\n")

    assert isinstance(found, EndpointSlice)
    assert (problems == []) is good


def test_objectives_rewrites_and_legacy_models_name_their_pool() -> None:
    version = "inference.networking.x-k8s.io/v1alpha2"
    ref = "poolRef: {name: p}"
    objective, *first = read_one(head("InferenceObjective", version) + f"spec: {{priority: -1, {ref}}}\n")
    rewrite, *second = read_one(
        head("InferenceModelRewrite", version) + f"spec: {{{ref}, rules: [{{matches: [{{model: {{value: a}}}}],"
        " targets: [{modelRewrite: b, weight: 2}]}]}\n"
    )
    model, *third = read_one(
        head("InferenceModel", version) + f"spec: {{modelName: m, criticality: Sheddable, {ref},"
        " targetModels: [{name: a, weight: 1}]}\n"
    )

    assert first == second == third == [[], []]
    assert isinstance(objective, InferenceObjective)
    assert isinstance(rewrite, InferenceModelRewrite)
    assert isinstance(model, InferenceModel)
    assert (objective.priority, rewrite.rules[0].models, model.criticality) == (-1, ("a",), Criticality.SHEDDABLE)
    assert objective.pool == rewrite.pool == model.pool == ("default", "p")


@pytest.mark.parametrize(
    "spec", ["{priority: 7, poolRef: {name: p}}", "{poolRef: {group: inference.networking.k8s.io, name: p}}"]
)
def test_an_objective_of_llm_ds_own_group_is_the_same_value(spec: str) -> None:
    both = [
        read_one(head("InferenceObjective", version) + f"spec: {spec}\n")
        for version in ("llm-d.ai/v1alpha2", "inference.networking.x-k8s.io/v1alpha2")
    ]

    assert both[0] == both[1]
    assert isinstance(both[0][0], InferenceObjective)
    assert both[0][1:] == ([], [])


def test_a_rewrite_of_llm_ds_own_group_is_the_same_value() -> None:
    spec = "spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: b}]}]}\n"
    both = [
        read_one(head("InferenceModelRewrite", version) + spec)
        for version in ("llm-d.ai/v1alpha2", "inference.networking.x-k8s.io/v1alpha2")
    ]

    assert both[0] == both[1]
    assert isinstance(both[0][0], InferenceModelRewrite)
    assert both[0][1:] == ([], [])


def test_weights_of_a_legacy_model_are_all_set_or_none() -> None:
    _, problems, _ = read_one(
        head("InferenceModel", "inference.networking.x-k8s.io/v1alpha2")
        + "spec: {modelName: m, poolRef: {name: p}, targetModels: [{name: a, weight: 1}, {name: b}]}\n"
    )

    assert "weights must be set for all, or none" in problems[0]


def test_a_destination_rule_is_read_as_far_as_it_counts() -> None:
    found, problems, notes = read_one(
        head("DestinationRule", "networking.istio.io/v1")
        + "spec:\n  host: epp\n  subsets: [{name: v1}]\n  trafficPolicy:\n    loadBalancer: {simple: RANDOM}\n"
        "    tls: {mode: SIMPLE, insecureSkipVerify: true}\n"
        "    connectionPool: {tcp: {connectTimeout: 2s}, http: {http1MaxPendingRequests: 3}}\n"
        "    outlierDetection: {consecutive5xxErrors: 2, baseEjectionTime: 5s}\n"
        "    portLevelSettings: [{port: {number: 9}, tls: {mode: DISABLE}}]\n"
    )

    assert problems == []
    assert len(notes) == 1
    assert "spec.subsets: without effect here" in notes[0]
    assert isinstance(found, DestinationRule)
    tls = found.at(1).tls
    assert tls is not None
    assert (tls.mode, tls.insecure_skip_verify) == (TlsMode.SIMPLE, True)
    assert (found.at(1).connect_timeout, found.at(1).max_pending, found.at(1).balancer) == (2.0, 3, Balancer.RANDOM)
    assert found.at(1).ejection == Ejection(consecutive_5xx=2, base_time=5.0)
    plaintext = found.at(9).tls
    assert plaintext is not None
    assert (plaintext.mode, found.at(9).connect_timeout) == (TlsMode.DISABLE, None)


def test_a_backend_tls_policy_is_read() -> None:
    found, problems, notes = read_one(
        head("BackendTLSPolicy", "gateway.networking.k8s.io/v1")
        + "spec:\n  targetRefs: [{group: '', kind: Service, name: s, sectionName: https}]\n"
        "  validation: {hostname: a.example, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}],"
        " subjectAltNames: [{type: URI, uri: 'spiffe://a'}]}\n"
    )

    assert (problems, notes) == ([], [])
    assert isinstance(found, BackendTLSPolicy)
    assert found.targets == (PolicyTarget("", "Service", "s", "https"),)
    authority = CertificateRef("", "ConfigMap", ObjectName("default", "ca"))
    assert found.validation == Validation("a.example", (authority,), ("spiffe://a",))


def test_other_kinds_of_a_cluster_pass_in_silence_and_those_with_an_effect_elsewhere_with_a_note() -> None:
    known = read_one(head("Role", "rbac.authorization.k8s.io/v1"))
    noted = read_one(head("HelmRelease", "helm.toolkit.fluxcd.io/v2"))
    unknown = read_one(head("Teapot", "example.com/v1"))

    assert known == (None, [], [])
    assert noted == (None, [], ["f.yaml:2: kind: HelmRelease is without effect here (HelmRelease default/x)"])
    assert unknown == (None, [], ["f.yaml:2: kind: unknown kind Teapot of example.com/v1 (Teapot default/x)"])


@pytest.mark.parametrize("identity", sorted(READERS))
def test_every_kind_survives_an_empty_and_a_nonsense_body(identity: tuple[str, str]) -> None:
    group, kind = identity
    version = f"{group}/v1" if group else "v1"
    for rest in ("", "spec: 3\n", "spec: {}\n", "data: [1]\nendpoints: 3\nports: [x]\naddressType: 4\n"):
        read_one(head(kind, version) + rest)


def test_an_object_without_a_name_is_a_problem() -> None:
    found, problems, _ = read_one("apiVersion: v1\nkind: ConfigMap\n")

    assert found is None
    assert problems == ["f.yaml:1: metadata.name: required (ConfigMap default/)"]


def test_every_example_of_the_repository_is_without_problems(root: Path) -> None:
    folders = [*(root / "config").glob("demo*"), root / "tests/data/manifests"]
    paths = [path for folder in folders for path in folder.rglob("*.yaml")]
    assert len(folders) > 2
    for path in paths:
        problems: list[Problem] = []
        found = list(entries(path.read_text(), str(path), problems))
        assert [*problems, *(problem for entry in found for problem in entry.problems)] == []


POD = """
apiVersion: v1
kind: Pod
metadata:
  name: p
  uid: 7d3f
  generation: 3
  resourceVersion: "1234"
  labels: {app: a}
  annotations: {note: b}
  creationTimestamp: 2026-01-01T00:00:00Z
  deletionTimestamp: 2026-01-01T01:00:00Z
spec:
  nodeName: n
  containers:
  - {name: side}
  - {name: vllm, image: x, ports: [{containerPort: 8000, name: http}, {containerPort: 9090, protocol: UDP}]}
status:
  phase: Running
  conditions: [{type: Ready, status: "True"}, {type: Initialized, status: "False"}]
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]
"""


def test_a_pod_is_read_with_its_metadata() -> None:
    found, problems, notes = read_one(POD)

    assert (problems, notes) == ([], [])
    assert isinstance(found, Pod)
    assert (found.addresses, found.ready, found.serves) == (("10.0.0.1", "fd00::1"), True, False)
    assert [(port.name, port.port, port.protocol) for port in found.ports] == [("http", 8000, "TCP"), ("", 9090, "UDP")]
    meta = found.meta
    assert (meta.api_version, meta.uid, meta.generation, meta.resource_version) == ("v1", "7d3f", 3, "1234")
    assert (dict(meta.labels), dict(meta.annotations)) == ({"app": "a"}, {"note": "b"})
    assert (meta.created, meta.deleted) == ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")


def test_a_pod_without_address_or_status_is_a_pod_that_does_not_serve() -> None:
    found, problems, _ = read_one(head("Pod", "v1") + "spec: {containers: [{name: a}]}\n")
    wrong, others, _ = read_one(head("Pod", "v1") + "status: {podIP: nowhere, conditions: 3}\n")

    assert problems == []
    assert isinstance(found, Pod)
    assert (found.addresses, found.serves) == ((), False)
    assert isinstance(wrong, Pod)
    assert others == [
        "f.yaml:4: status.podIP: expected an IP address, got 'nowhere' (Pod default/x)",
        "f.yaml:4: status.conditions: expected a list, got 3 (Pod default/x)",
    ]


def test_an_object_of_a_cluster_is_the_place_of_its_problems() -> None:
    document = cluster_document({
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": {"name": "p", "namespace": "n", "labels": {"a": 1}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "targetPorts": []},
    })  # fmt: skip
    assert document is not None

    assert isinstance(read(document), InferencePool)

    assert [str(problem) for problem in document.value.findings.problems] == [
        "InferencePool n/p: metadata.labels.a: expected a string, got 1",
        "InferencePool n/p: spec.targetPorts: expected 1 to 8 items, got 0",
    ]


SECURITY = head("SecurityPolicy", "gateway.envoyproxy.io/v1alpha1")
ISTIO = "security.istio.io/v1"


@pytest.mark.parametrize(
    "text",
    [
        SECURITY + "spec: {targetRefs: [{group: g, kind: Gateway, name: a}], apiKeyAuth: {credentialRefs: []}}",
        head("AuthorizationPolicy", ISTIO) + "spec: {targetRef: {group: g, kind: Gateway, name: a}, rules: []}",
        head("RequestAuthentication", ISTIO) + "spec: {jwtRules: [{issuer: i}], selector: {matchLabels: {a: b}}}",
        head("PeerAuthentication", ISTIO) + "spec: {mtls: {mode: STRICT}}",
        head("PeerAuthentication", ISTIO) + "spec: {portLevelMtls: {8000: {mode: STRICT}}}",
        head("ClientTrafficPolicy", "gateway.envoyproxy.io/v1alpha1") + "spec: {tls: {clientValidation: {}}}",
        head("QuotaPolicy", "aigateway.envoyproxy.io/v1alpha1") + "spec: {}",
        head("BackendTrafficPolicy", "gateway.envoyproxy.io/v1alpha1") + "spec: {rateLimit: {type: Global}}",
        head("AuthPolicy", "kuadrant.io/v1") + "spec: {}",
    ],
)
def test_a_policy_that_restricts_access_is_read(text: str) -> None:
    found, problems, notes = read_one(text)

    assert (problems, notes) == ([], [])
    assert isinstance(found, AccessPolicy)


@pytest.mark.parametrize(
    "text",
    [
        SECURITY + "spec: {targetRefs: [{group: g, kind: Gateway, name: a}], cors: {}}",
        head("AuthorizationPolicy", ISTIO) + "spec: {action: AUDIT}",
        head("PeerAuthentication", ISTIO) + "spec: {mtls: {mode: PERMISSIVE}}",
    ],
)
def test_a_policy_that_lets_everything_pass_is_noted(text: str) -> None:
    found, problems, notes = read_one(text)

    assert (found, problems) == (None, [])
    assert "is without effect here" in notes[0]


def test_the_targets_of_a_policy_are_read() -> None:
    found, problems, _ = read_one(
        SECURITY + "spec:\n  jwt: {}\n  targetRefs: [{group: g, kind: Gateway, name: a, sectionName: s}]\n"
        "  targetSelectors: [{group: g, kind: HTTPRoute, matchLabels: {a: b}}]\n"
    )

    assert problems == []
    assert isinstance(found, AccessPolicy)
    assert found.targets == (
        PolicyTarget("g", "Gateway", "a", "s"),
        PolicyTarget("g", "HTTPRoute", labels=LabelSelector({"a": "b"})),
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{type: Header, cookieConfig: {lifetimeType: Session}}", "only a cookie has one"),
        ("{cookieConfig: {lifetimeType: Permanent}}", "must be specified when cookie lifetimeType is Permanent"),
        ("{sessionName: 'a b'}", "not a name: 'a b'"),
    ],
)
def test_a_session_that_the_api_refuses_is_refused(written: str, problem: str) -> None:
    _, problems, _ = read_one(ROUTE + f"spec: {{rules: [{{sessionPersistence: {written}}}]}}\n")

    assert len(problems) == 1
    assert problem in problems[0]
