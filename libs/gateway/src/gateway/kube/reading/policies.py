"""Policies that restrict access are read for what they target. Pure.

Of Envoy Gateway's SecurityPolicy the rules are read, too; those of other kinds are not understood. A policy that would
let every request pass is read as none.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from gateway.kube.objects import ENVOY_GATEWAY_GROUP, AccessPolicy, LabelSelector, Meta, PolicyTarget
from gateway.kube.reading.access import access_rules
from gateway.kube.reading.parts import spec_of
from gateway.schema.fields import Fields

ISTIO_SECURITY_GROUP: Final = "security.istio.io"
ISTIO_EXTENSIONS_GROUP: Final = "extensions.istio.io"
KUADRANT_GROUP: Final = "kuadrant.io"
KGATEWAY_GROUP: Final = "gateway.kgateway.dev"
AGENTGATEWAY_GROUP: Final = "agentgateway.dev"
NGINX_GROUP: Final = "gateway.nginx.org"
GKE_GROUP: Final = "networking.gke.io"

Reader = Callable[[Meta, Fields], AccessPolicy | None]

_TARGETING: Final = frozenset({"targetRef", "targetRefs", "targetSelectors"})
# Parts of policies that keep nobody out. Whatever else a policy of these kinds holds, known or not, is a restriction.
_OPEN_TRAFFIC: Final = _TARGETING | {
    "autoHostRewrite", "buffer", "compression", "cors", "entropy", "hashPolicies", "headerModifiers", "retry",
    "timeouts", "transformation", "urlRewrite",
}  # fmt: skip
_OPEN_AGENT_TRAFFIC: Final = frozenset({
    "cors", "directResponse", "headerModifiers", "hostRewrite", "phase", "retry", "timeouts", "transformation",
})  # fmt: skip
_RESTRICTING_PHASES: Final = ("AUTHN", "AUTHZ")


def _traffic(spec: Fields) -> bool:
    return not spec.keys() <= _OPEN_TRAFFIC


def _agent(spec: Fields) -> bool:
    traffic = spec.child("traffic")
    return traffic is not None and not traffic.keys() <= _OPEN_AGENT_TRAFFIC


def _google_backend(spec: Fields) -> bool:
    usual = spec.child("default")
    return usual is not None and (usual.has("securityPolicy") or usual.has("iap"))


def _plugin(spec: Fields) -> bool:
    return spec.raw("phase") in _RESTRICTING_PHASES


def _client_traffic(spec: Fields) -> bool:
    tls = spec.child("tls")
    return tls is not None and tls.has("clientValidation")


def _backend_traffic(spec: Fields) -> bool:
    return spec.has("rateLimit")


def _authorization(spec: Fields) -> bool:
    return spec.raw("action") != "AUDIT"


def _authentication(spec: Fields) -> bool:
    return bool(spec.raw("jwtRules"))


def _peer(spec: Fields) -> bool:
    mutual, ports = spec.raw("mtls"), spec.raw("portLevelMtls")
    modes = [mutual, *(ports.values() if isinstance(ports, Mapping) else ())]
    return any(isinstance(mode, Mapping) and mode.get("mode") == "STRICT" for mode in modes)


def _always(_spec: Fields) -> bool:
    return True


_RESTRICTS: Final[Mapping[tuple[str, str], Callable[[Fields], bool]]] = MappingProxyType({
    (ENVOY_GATEWAY_GROUP, "ClientTrafficPolicy"): _client_traffic,
    (ENVOY_GATEWAY_GROUP, "BackendTrafficPolicy"): _backend_traffic,
    (ENVOY_GATEWAY_GROUP, "EnvoyExtensionPolicy"): _always,  # runs programs, which may refuse requests
    (ISTIO_SECURITY_GROUP, "AuthorizationPolicy"): _authorization,
    (ISTIO_SECURITY_GROUP, "RequestAuthentication"): _authentication,
    (ISTIO_SECURITY_GROUP, "PeerAuthentication"): _peer,
    (ISTIO_EXTENSIONS_GROUP, "WasmPlugin"): _plugin,
    (KGATEWAY_GROUP, "TrafficPolicy"): _traffic,
    (AGENTGATEWAY_GROUP, "AgentgatewayPolicy"): _agent,
    (NGINX_GROUP, "RateLimitPolicy"): _always,
    (GKE_GROUP, "GCPBackendPolicy"): _google_backend,
    (KUADRANT_GROUP, "AuthPolicy"): _always,
    (KUADRANT_GROUP, "RateLimitPolicy"): _always,
    (KUADRANT_GROUP, "TokenRateLimitPolicy"): _always,
})  # fmt: skip


def _reader(kind: str, restricts: Callable[[Fields], bool]) -> Reader:
    def policy(meta: Meta, top: Fields) -> AccessPolicy | None:
        spec = top.child("spec") or Fields(top.at("spec"))
        if not restricts(spec):
            top.at("kind").note(f"{kind} is without effect here")
            return None
        targets, workloads = _attachment(spec)
        return AccessPolicy(meta, kind, targets, workloads)

    return policy


def _security_policy(meta: Meta, top: Fields) -> AccessPolicy:
    """One with a problem has no rules: nothing passes what it protects."""
    spec = spec_of(top)
    problems = spec.at("").findings.problems
    before = len(problems)
    (targets, workloads), rules = _attachment(spec), access_rules(meta, spec, _TARGETING)
    return AccessPolicy(meta, "SecurityPolicy", targets, workloads, rules if len(problems) == before else None)


READERS: Final[Mapping[tuple[str, str], Reader]] = MappingProxyType({
    (ENVOY_GATEWAY_GROUP, "SecurityPolicy"): _security_policy,
} | {
    (group, kind): _reader(kind, restricts) for (group, kind), restricts in _RESTRICTS.items()
})  # fmt: skip


def _attachment(spec: Fields) -> tuple[tuple[PolicyTarget, ...], LabelSelector]:
    """What a policy is for. Where a part of that cannot be read, it may be anything: the whole namespace."""
    problems = spec.at("").findings.problems
    before = len(problems)
    found = _targets(spec), LabelSelector(_workloads(spec))
    return found if len(problems) == before else ((), LabelSelector({}))


def _targets(spec: Fields) -> tuple[PolicyTarget, ...]:
    one = spec.child("targetRef")
    named = (*([one] if one else ()), *spec.children("targetRefs", 64))
    return (
        *(
            PolicyTarget(
                group=item.text("group"),
                kind=item.text("kind", required=True),
                name=item.name("name", required=True),
                section=item.text("sectionName"),
            )
            for item in named
        ),
        *(
            PolicyTarget(
                group=item.text("group"),
                kind=item.text("kind", required=True),
                labels=LabelSelector(item.labels("matchLabels", 64)),
            )
            for item in spec.children("targetSelectors", 64)
        ),
    )


def _workloads(spec: Fields) -> Mapping[str, str]:
    selector = spec.child("selector")
    return selector.labels("matchLabels", 64) if selector else {}
