"""Each kind is read strictly: right documents become values, wrong ones name every mistake."""

from pathlib import Path

import pytest

from gateway.kube.objects import (
    BackendTLSPolicy,
    CertificateRef,
    EndpointSlice,
    FailureMode,
    Gateway,
    HTTPRoute,
    InferencePool,
    Mirror,
    ObjectName,
    PathType,
    PolicyTarget,
    Redirect,
    Validation,
)
from gateway.kube.reading.contents import entries
from gateway.kube.reading.table import READERS
from gateway.schema.problems import Problem
from tests.unit.kube.documents import ROUTE, head, read_one

POOL = head("InferencePool", "inference.networking.k8s.io/v1")
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
