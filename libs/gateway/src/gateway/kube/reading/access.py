"""The demands of Envoy Gateway's SecurityPolicy are read. Pure.

What cannot be enforced is named, so that nothing passes what it protects.
"""

import ipaddress
from collections.abc import Iterator
from typing import Final

from gateway.kube.objects import (
    AccessRule,
    AccessRules,
    ApiKeyAuth,
    Authorization,
    BasicAuth,
    ClaimKind,
    ClaimMatch,
    Cors,
    JwtAuth,
    JwtProvider,
    Meta,
    ObjectName,
    RemoteKeys,
    Sources,
)
from gateway.kube.reading.filters import METHODS, check_header, cors_of
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

MOST: Final = 256  # references, rules, values and the like; what the API allows of any of them
JWKS_CACHE_SECONDS: Final = 300.0  # Envoy Gateway's default
_ENFORCED: Final = frozenset({"apiKeyAuth", "basicAuth", "jwt", "authorization", "cors"})
_SCOPE_CLAIM: Final = ("scope",)


def access_rules(meta: Meta, spec: Fields, known: frozenset[str]) -> AccessRules:
    """What a policy demands. `known` are fields that are read elsewhere."""
    spec.known(*known)
    keys, basic, jwt = spec.child("apiKeyAuth"), spec.child("basicAuth"), spec.child("jwt")
    authorization, cors = spec.child("authorization"), spec.child("cors")
    read_jwt = _jwt(meta, jwt) if jwt else None
    return AccessRules(
        keys=_api_keys(meta, keys) if keys else None,
        basic=_basic(meta, basic) if basic else None,
        jwt=read_jwt,
        authorization=_authorization(authorization, read_jwt) if authorization else None,
        cors=_cors(cors) if cors else None,
        unsupported=tuple(sorted(spec.keys() - known - _ENFORCED)),
    )


def _api_keys(meta: Meta, item: Fields) -> ApiKeyAuth:
    refs, sources = item.children("credentialRefs", MOST, least=1), item.children("extractFrom", MOST, least=1)
    found = ApiKeyAuth(
        tuple(_secret(meta, ref) for ref in refs), tuple(_key_source(each) for each in sources),
        _header(item, "forwardClientIDHeader"),
    )  # fmt: skip
    item.boolean("sanitize", default=True)  # a key is never passed on
    item.done()
    return found


def _key_source(item: Fields) -> Sources:
    headers, params, cookies = (item.texts(key, MOST) for key in ("headers", "params", "cookies"))
    if sum(1 for each in (headers, params, cookies) if each) != 1:
        item.problem("headers", "exactly one of headers, params and cookies is required")
    for index, name in enumerate(headers):
        check_header(item, f"headers[{index}]", name)
    for key, found in (("params", params), ("cookies", cookies)):
        if "" in found:
            item.problem(f"{key}[{found.index('')}]", "may not be empty")
    item.done()
    return Sources(tuple((name.lower(), "") for name in headers), params, cookies)


def _basic(meta: Meta, item: Fields) -> BasicAuth:
    users = item.child("users", required=True)
    found = BasicAuth(_secret(meta, users) if users else meta.id, _header(item, "forwardUsernameHeader"))
    item.done()
    return found


def _secret(meta: Meta, ref: Fields) -> ObjectName:
    if ref.text("group") or ref.text("kind", "Secret") != "Secret":
        ref.problem("kind", "expected Secret, without a group")
    found = ObjectName(ref.name("namespace", meta.id.namespace), ref.name("name", required=True))
    ref.done()
    return found


def _header(item: Fields, key: str) -> str:
    name = item.text(key)
    if name:
        check_header(item, key, name)
    return name.lower()


# --- Tokens ----------------------------------------------------------------------------------------------------------


def _jwt(meta: Meta, item: Fields) -> JwtAuth:
    providers = item.children("providers", 4, least=1)
    found = tuple(_provider(meta, each) for each in providers)
    names = [each.name for each in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            item.problem(f"providers[{index}].name", f"provider {name} is there twice")
    is_optional = item.boolean("optional", default=False)
    item.done()
    return JwtAuth(found, is_optional)


def _provider(meta: Meta, item: Fields) -> JwtProvider:
    remote, local = item.child("remoteJWKS"), item.child("localJWKS")
    if (remote is None) == (local is None):
        item.problem("remoteJWKS", "exactly one of remoteJWKS and localJWKS is required")
    claims = item.children("claimToHeaders", MOST)
    written = item.child("extractFrom")
    found = JwtProvider(
        name=item.text("name", required=True, longest=253),
        issuer=item.text("issuer", longest=253),
        audiences=item.texts("audiences", 8),
        keys=_remote(remote) if remote else _local(meta, local) if local else "",
        claims=tuple(_claim_header(each) for each in claims),
        chooses_route=item.boolean("recomputeRoute", default=False),
        sources=_token_sources(written) if written else None,
    )
    if found.chooses_route and not found.claims:
        item.problem("recomputeRoute", "claimToHeaders must be specified if recomputeRoute is enabled")
    item.done()
    return found


def _remote(item: Fields) -> RemoteKeys:
    uri = item.text("uri", required=True, longest=253)
    if uri and not spelling.is_http_url(uri):
        item.problem("uri", f"expected https://HOST/PATH, got {what(uri)}")
    seconds = item.duration("cacheDuration")
    if seconds is not None and seconds < 1:
        item.problem("cacheDuration", f"expected at least 1s, got {seconds:g}s")
    item.done()
    return RemoteKeys(uri, seconds or JWKS_CACHE_SECONDS)


def _local(meta: Meta, item: Fields) -> ObjectName | str:
    kind = item.choice("type", ("Inline", "ValueRef"), "Inline")
    inline, ref = item.text("inline", longest=1024 * 1024), item.child("valueRef")
    item.done()
    if kind == "Inline":
        if not inline:
            item.problem("inline", "required for type Inline")
        return inline
    if ref is None:
        item.problem("valueRef", "required for type ValueRef")
        return ""
    if ref.text("group") or ref.text("kind", required=True) != "ConfigMap":
        ref.problem("kind", "expected ConfigMap, without a group")
    name = ref.name("name", required=True)
    ref.done()
    return ObjectName(meta.id.namespace, name)


def _claim_header(item: Fields) -> tuple[str, str]:
    header, claim = item.text("header", required=True), item.text("claim", required=True)
    if header:
        check_header(item, "header", header)
    item.done()
    return header.lower(), claim


def _token_sources(item: Fields) -> Sources:
    headers = []
    for each in item.children("headers", MOST):
        name = each.text("name", required=True)
        if name:
            check_header(each, "name", name)
        headers.append((name.lower(), each.text("valuePrefix")))
        each.done()
    found = Sources(tuple(headers), item.texts("params", MOST), item.texts("cookies", MOST))
    item.done()
    return found


# --- Authorization ---------------------------------------------------------------------------------------------------


def _authorization(item: Fields, jwt: JwtAuth | None) -> Authorization:
    rules = item.children("rules", MOST)
    providers = frozenset(each.name for each in jwt.providers) if jwt else frozenset[str]()
    found = tuple(_rule(rule, index, providers) for index, rule in enumerate(rules))
    allows = item.choice("defaultAction", ("Allow", "Deny"), "Deny") == "Allow"
    item.done()
    return Authorization(found, allows)


def _rule(item: Fields, index: int, providers: frozenset[str]) -> AccessRule:
    principal, operation = item.child("principal", required=True), item.child("operation")
    action = item.choice("action", ("Allow", "Deny", ""), "")
    if not action:
        item.problem("action", "expected Allow or Deny")
    name, methods = item.text("name") or f"rule-{index}", _methods(operation) if operation else ()
    item.done()
    if principal is None:
        return AccessRule(name, allows=False)
    if not any(principal.raw(key) for key in ("clientCIDRs", "jwt", "headers")):
        item.problem("principal", "at least one of clientCIDRs, jwt and headers is required")
    headers, token = principal.children("headers", MOST), principal.child("jwt")
    found = AccessRule(
        name=name,
        allows=action == "Allow",
        methods=methods,
        networks=tuple(_networks(principal)),
        headers=tuple(_values(each, "values") for each in headers),
        claims=tuple(_claims(token, providers)) if token else (),
    )
    principal.done()
    return found


def _methods(item: Fields) -> tuple[str, ...]:
    found = item.texts("methods", 16, least=1)
    for index, method in enumerate(found):
        if method not in METHODS[1:]:
            item.problem(f"methods[{index}]", f"expected one of {', '.join(METHODS[1:])}, got {what(method)}")
    item.done()
    return found


def _networks(item: Fields) -> Iterator[tuple[str, int]]:
    for index, text in enumerate(item.texts("clientCIDRs", MOST)):
        try:
            found = ipaddress.ip_network(text, strict=False)
        except ValueError:
            item.problem(f"clientCIDRs[{index}]", f"expected a network such as 10.0.0.0/8, got {what(text)}")
            continue
        yield str(found.network_address), found.prefixlen


def _values(item: Fields, key: str) -> tuple[str, tuple[str, ...]]:
    name, values = item.text("name", required=True, longest=256), item.texts(key, MOST, least=1)
    if name:
        check_header(item, "name", name)
    item.done()
    return name.lower(), values


def _claims(item: Fields, providers: frozenset[str]) -> Iterator[ClaimMatch]:
    provider = item.text("provider", required=True)
    if provider and provider not in providers:
        item.problem("provider", f"no provider {what(provider)} in jwt.providers of this policy")
    claims, scopes = item.children("claims", 16), item.texts("scopes", 16)
    if not claims and not scopes:
        item.problem("claims", "at least one of claims and scopes is required")
    for claim in claims:
        name = claim.text("name", required=True)
        if name and "" in name.split("."):
            claim.problem("name", f"expected names with single dots between them, got {what(name)}")
        kind = ClaimKind(claim.choice("valueType", tuple(ClaimKind), ClaimKind.TEXT))
        yield ClaimMatch(provider, tuple(name.split(".")), claim.texts("values", 16, least=1), kind)
        claim.done()
    for scope in scopes:  # all of them
        yield ClaimMatch(provider, _SCOPE_CLAIM, (scope,), ClaimKind.LIST)
    item.done()


def _cors(item: Fields) -> Cors:
    """As a filter of a route has it, but for a duration as the age."""
    seconds = item.duration("maxAge")
    found = cors_of(item, max_age=round(seconds) if seconds else None)
    item.done()
    return found
