"""The rules of a policy as a matcher of Envoy's rbac filter: the first rule that a request meets decides. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from controlplane.xds.resources.names import Tree, typed
from gateway.kube.objects import AccessRule, Authorization, ClaimKind, ClaimMatch

_JWT_NAMESPACE: Final = "envoy.filters.http.jwt_authn"


def matcher(found: Authorization, providers: Mapping[str, str]) -> Tree:
    """`providers` are the names under which the claims of each provider's tokens stand."""
    result: Tree = {"on_no_match": _action("default", allows=found.allows_others)}
    if found.rules:
        listed = [
            {"predicate": _all(_predicates(rule, providers)), "on_match": _action(rule.name, allows=rule.allows)}
            for rule in found.rules
        ]
        result["matcher_list"] = {"matchers": listed}
    return result


def _action(name: str, *, allows: bool) -> Tree:
    action = typed("envoy.config.rbac.v3.Action", name=name, action="ALLOW" if allows else "DENY")
    return {"action": {"name": name, "typed_config": action}}


def _predicates(rule: AccessRule, providers: Mapping[str, str]) -> Iterator[Tree]:
    if rule.methods:
        yield _header(":method", rule.methods)
    if rule.networks:
        yield _address(rule.networks)
    yield from (_header(name, values) for name, values in rule.headers)
    yield from (_claim(claim, providers[claim.provider]) for claim in rule.claims)


def _header(name: str, values: Sequence[str]) -> Tree:
    kind = "envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    given = {"name": "header", "typed_config": typed(kind, header_name=name)}
    return _any([{"single_predicate": {"input": given, "value_match": {"exact": value}}} for value in values])


def _address(networks: Sequence[tuple[str, int]]) -> Tree:
    given = {
        "name": "client_ip",
        "typed_config": typed("envoy.extensions.matching.common_inputs.network.v3.SourceIPInput"),
    }
    ranges = [{"address_prefix": address, "prefix_len": length} for address, length in networks]
    kind = "envoy.extensions.matching.input_matchers.ip.v3.Ip"
    wanted = {"name": "ip", "typed_config": typed(kind, cidr_ranges=ranges, stat_prefix="client_ip")}
    return {"single_predicate": {"input": given, "custom_match": wanted}}


def _claim(claim: ClaimMatch, provider: str) -> Tree:
    kind = "envoy.extensions.matching.common_inputs.network.v3.DynamicMetadataInput"
    path = [{"key": key} for key in (provider, *claim.path)]
    given = {"name": "claim", "typed_config": typed(kind, filter=_JWT_NAMESPACE, path=path)}
    return _any(
        [{"single_predicate": {"input": given, "custom_match": _value(claim, value)}} for value in claim.values]
    )


def _value(claim: ClaimMatch, value: str) -> Tree:
    wanted: Tree = {"string_match": {"exact": value}}
    if claim.kind is ClaimKind.LIST:
        wanted = {"list_match": {"one_of": wanted}}
    kind = "envoy.extensions.matching.input_matchers.metadata.v3.Metadata"
    return {"name": "claim", "typed_config": typed(kind, value=wanted)}


def _any(found: list[Tree]) -> Tree:
    return found[0] if len(found) == 1 else {"or_matcher": {"predicate": found}}


def _all(predicates: Iterator[Tree]) -> Tree:
    found = list(predicates)
    return found[0] if len(found) == 1 else {"and_matcher": {"predicate": found}}
