"""The validation rules of the CRDs that go beyond types, each with a document that breaks it and no other.

`RULES` has the words of the API's own message, so that an error here is found where the API's is looked up.
"""

import pytest

from tests.unit.kube.documents import head, read_one

LISTENER = "spec: {{gatewayClassName: c, listeners: [{}]}}"
LISTENERS = "spec: {{gatewayClassName: c, listeners: [{{name: a, port: 80, protocol: HTTP}}], {}}}"
RULE = "spec: {{rules: [{}]}}"
ROUTE = "spec: {{{}}}"
MATCH = "spec: {{rules: [{{matches: [{}]}}]}}"
FILTERS = "spec: {{rules: [{{filters: [{}]}}]}}"
ON_BACKEND = "spec: {{rules: [{{backendRefs: [{{name: s, port: 80, filters: [{}]}}]}}]}}"
MODIFIER = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}"
RESPONSE = "{type: ResponseHeaderModifier, responseHeaderModifier: {remove: [a]}}"
REWRITE = "{type: URLRewrite, urlRewrite: {hostname: a.org}}"
PREFIX_REWRITE = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}"
REDIRECT = "{type: RequestRedirect, requestRedirect: {hostname: a.org}}"
PREFIX_REDIRECT = "{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}"
CORS = "{type: CORS, cors: {allowOrigins: ['*']}}"
EXACT = "{path: {type: Exact, value: /a}}"
TLS_POLICY = "spec: {{targetRefs: [{}], validation: {{hostname: a.org, wellKnownCACertificates: System}}}}"
VALIDATION = "spec: {{targetRefs: [{{group: '', kind: Service, name: s}}], validation: {{hostname: a.org, {}}}}}"
POOL = "spec: {{selector: {{matchLabels: {{a: b}}}}, {}}}"
PICKER = "endpointPickerRef: {name: e, port: {number: 9002}}"

RULES = [
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: HTTP, tls: {mode: Terminate, certificateRefs: [{name: c}]}}",
     "tls must not be specified for protocols"),
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: HTTPS, tls: {mode: Passthrough}}",
     "tls mode must be Terminate for protocol HTTPS"),
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: TLS, tls: {certificateRefs: [{name: c}]}}",
     "tls mode must be set for protocol TLS"),
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: HTTPS, tls: {mode: Terminate}}",
     "certificateRefs or options must be specified when mode is Terminate"),
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: TCP, hostname: a.org}",
     "hostname must not be specified for protocols"),
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}",
     "names must be unique"),
    ("Gateway", LISTENER, "{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}",
     "combination of port, protocol and hostname must be unique"),
    ("Gateway", LISTENERS, "addresses: [{value: 10.0.0.1}, {type: IPAddress, value: 10.0.0.1}]",
     "IPAddress values must be unique"),
    ("Gateway", LISTENERS, "addresses: [{type: Hostname, value: a.org}, {type: Hostname, value: a.org}]",
     "Hostname values must be unique"),
    ("Gateway", LISTENERS, "addresses: [{value: a.org}]", "expected an IP address"),
    ("Gateway", LISTENERS, "addresses: [{type: Hostname, value: 'a_b'}]", "not a host name"),
    ("Gateway", LISTENERS, "infrastructure: {parametersRef: {group: g, kind: k}}", "required"),
    ("Gateway", LISTENERS, "infrastructure: {label: {a: b}}", "unknown field; did you mean 'labels'?"),
    ("HTTPRoute", ROUTE, "parentRefs: [{name: g}, {name: g, sectionName: a}]",
     "sectionName or port must be specified when parentRefs includes 2 or more references to the same parent"),
    ("HTTPRoute", ROUTE, "parentRefs: [{name: g, sectionName: a}, {name: g, sectionName: a}]",
     "sectionName or port must be unique when parentRefs includes 2 or more references to the same parent"),
    ("HTTPRoute", RULE, "{name: a}, {name: a}", "Rule name must be unique within the route"),
    ("HTTPRoute", RULE, ", ".join(["{{matches: [{}]}}".format(", ".join(["{path: {value: /a}}"] * 64))] * 3),
     "total number of matches across all rules in a route must be less than 128"),
    ("HTTPRoute", RULE, f"{{filters: [{REDIRECT}], backendRefs: [{{name: s, port: 80}}]}}",
     "RequestRedirect filter must not be used together with backendRefs"),
    ("HTTPRoute", FILTERS, f"{REDIRECT}, {REWRITE}", "may not be used together"),
    ("HTTPRoute", FILTERS, f"{MODIFIER}, {MODIFIER}", "RequestHeaderModifier filter cannot be repeated"),
    ("HTTPRoute", FILTERS, f"{RESPONSE}, {RESPONSE}", "ResponseHeaderModifier filter cannot be repeated"),
    ("HTTPRoute", RULE, f"{{matches: [{{path: {{value: /a}}}}, {{path: {{value: /b}}}}], filters: [{PREFIX_REWRITE}]}}",
     "exactly one PathPrefix match"),
    ("HTTPRoute", FILTERS, f"{REWRITE}, {REWRITE}", "URLRewrite filter cannot be repeated"),
    ("HTTPRoute", FILTERS, f"{REDIRECT}, {REDIRECT}", "RequestRedirect filter cannot be repeated"),
    ("HTTPRoute", FILTERS, f"{CORS}, {CORS}", "CORS filter cannot be repeated"),
    ("HTTPRoute", ON_BACKEND, f"{MODIFIER}, {MODIFIER}", "RequestHeaderModifier filter cannot be repeated"),
    ("HTTPRoute", ON_BACKEND, f"{REDIRECT}, {REWRITE}", "may not be used together"),
    ("HTTPRoute", RULE, f"{{matches: [{EXACT}], filters: [{PREFIX_REWRITE}]}}", "exactly one PathPrefix match"),
    ("HTTPRoute", RULE, f"{{matches: [{EXACT}], filters: [{PREFIX_REDIRECT}]}}", "exactly one PathPrefix match"),
    ("HTTPRoute", RULE, f"{{matches: [{EXACT}], backendRefs: [{{name: s, port: 80, filters: [{PREFIX_REWRITE}]}}]}}",
     "exactly one PathPrefix match"),
    ("HTTPRoute", FILTERS, "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}", "required"),
    ("HTTPRoute", FILTERS, ("{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a, "
     "replacePrefixMatch: /b}}}"), "unknown field"),
    ("HTTPRoute", FILTERS, "{type: URLRewrite, requestRedirect: {}, urlRewrite: {}}", "unknown field"),
    ("HTTPRoute", FILTERS, "{type: URLRewrite}", "required"),
    ("HTTPRoute", FILTERS, ("{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}, "
     "{name: A, value: c}]}}"), "header a is there twice"),
    ("HTTPRoute", FILTERS, ("{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 1}, percent: 1, "
     "fraction: {numerator: 1}}}"), "only one of percent or fraction may be specified"),
    ("HTTPRoute", FILTERS, ("{type: RequestMirror, requestMirror: {backendRef: {name: s, port: 1}, "
     "fraction: {numerator: 3, denominator: 2}}}"), "expected 0 to 2"),
    ("HTTPRoute", FILTERS, "{type: RequestMirror, requestMirror: {backendRef: {name: s}}}",
     "must have port for Service reference"),
    ("HTTPRoute", MATCH, "{path: {type: Exact, value: a}}", "must start with '/'"),
    ("HTTPRoute", MATCH, "{path: {value: /a//b}}", "must not contain //"),
    ("HTTPRoute", MATCH, "{path: {value: /a/../b}}", "must not contain"),
    ("HTTPRoute", MATCH, "{path: {value: /a/..}}", "must not contain"),
    ("HTTPRoute", MATCH, "{path: {value: '/a%2Fb'}}", "must not contain"),
    ("HTTPRoute", MATCH, "{path: {value: '/a#b'}}", "a character that a path must write as %XX"),
    ("HTTPRoute", MATCH, "{path: {type: Glob, value: /a}}", "expected one of Exact"),
    ("HTTPRoute", RULE, "{timeouts: {request: 1s, backendRequest: 2s}}",
     "backendRequest timeout cannot be longer than request timeout"),
    ("HTTPRoute", RULE, "{sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}}",
     "must be specified when cookie lifetimeType is Permanent"),
    ("HTTPRoute", RULE, "{sessionPersistence: {type: Header, cookieConfig: {lifetimeType: Session}}}",
     "only a cookie has one"),
    ("HTTPRoute", RULE, "{backendRefs: [{group: '', kind: Service, name: s}]}", "must have port for Service reference"),
    ("BackendTLSPolicy", VALIDATION, ("wellKnownCACertificates: System, "
     "caCertificateRefs: [{group: '', kind: ConfigMap, name: c}]"), "may not be written beside caCertificateRefs"),
    ("BackendTLSPolicy", VALIDATION, "caCertificateRefs: [{group: '', kind: ConfigMap, name: c, namespace: other}]",
     "unknown field"),
    ("BackendTLSPolicy", VALIDATION, "subjectAltNames: []", "one of caCertificateRefs and wellKnownCACertificates"),
    ("BackendTLSPolicy", VALIDATION, "wellKnownCACertificates: System, subjectAltNames: [{type: URI}]",
     "required"),
    ("BackendTLSPolicy", TLS_POLICY, "{group: '', kind: Service, name: s}, {group: '', kind: Service, name: s}",
     "sectionName must be specified when targetRefs includes 2 or more references to the same target"),
    ("BackendTLSPolicy", TLS_POLICY, ("{group: '', kind: Service, name: s, sectionName: a}, "
     "{group: '', kind: Service, name: s, sectionName: a}"),
     "sectionName must be unique when targetRefs includes 2 or more references to the same target"),
    ("InferencePool", POOL, f"targetPorts: [{{number: 1}}, {{number: 1}}], {PICKER}", "port number must be unique"),
    ("InferencePool", POOL, "targetPorts: [{number: 1}], endpointPickerRef: {name: e}",
     "port is required when kind is 'Service'"),
    ("ReferenceGrant", "spec: {{from: [{{group: g, kind: HTTPRoute, namespace: n}}], {}}}", "to: []",
     "expected 1 to 16 items"),
    ("ReferenceGrant", "spec: {{from: [{}], to: [{{group: '', kind: Secret}}]}}",
     "{group: g, kind: HTTPRoute, namespace: n, name: x}", "unknown field"),
]  # fmt: skip
VERSIONS = {"InferencePool": "inference.networking.k8s.io/v1", "ReferenceGrant": "gateway.networking.k8s.io/v1beta1"}


@pytest.mark.parametrize(("kind", "around", "text", "message"), RULES, ids=[f"{r[0]}: {r[3]}" for r in RULES])
def test_a_document_that_breaks_a_rule_of_its_api_is_an_error(kind: str, around: str, text: str, message: str) -> None:
    version = VERSIONS.get(kind, "gateway.networking.k8s.io/v1")
    _, problems, _ = read_one(head(kind, version) + around.format(text))

    assert [message in problem for problem in problems] == [True], problems
