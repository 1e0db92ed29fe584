"""Who may pass: Envoy's own filters for keys, users, tokens and rules, and their settings on hosts and routes. Pure.

The filters stand on a listener twice. Early ones are for hosts whose routes all have the same check: nobody reads the
body of a request that fails it, and the router knows who asks. Late ones follow whatever chooses the route, for hosts
whose routes differ. Neither does anything by itself. Envoy's `disabled` does not fit: it is decided by the route that
matches before the model is known. So the filters that cannot be neutral are skipped without a mark, which a host or a
route writes into a header that no client can send.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from controlplane.plan.entries import Entry, VirtualHost
from controlplane.plan.protections import Protection
from controlplane.xds.resources import names
from controlplane.xds.resources.authorization import matcher
from controlplane.xds.resources.names import Tree, seconds, typed
from gateway.kube.objects import JwtAuth, JwtProvider, RemoteKeys, Sources
from gateway.wire import protocol

_FILTERS: Final = "envoy.extensions.filters.http"
_NOBODY: Final = "nobody:{SHA}AAAAAAAAAAAAAAAAAAAAAAAAAAA="  # no password has this hash; Envoy wants a user
_CLIENT_CLAIM: Final = "sub"  # the client's id, unless the policy names another claim for that header
CLOCK_SKEW_SECONDS: Final = 60  # by which a token may be early or late; Envoy's default
FETCH_TIMEOUT: Final = "5s"
MARKED: Final = "1"


class Stage(StrEnum):
    """Where on a listener a filter stands: before the model is known, or after the route is chosen."""

    EARLY = "early"
    LATE = "late"


class Check(StrEnum):
    """The kinds of filters, in their order."""

    MARKS = "header_mutation/marks"
    JWT = "jwt_authn"
    KEYS = "api_key_auth"
    BASIC = "basic_auth"
    RULES = "rbac"
    ENDS = "header_mutation/ends"


_MARKED: Final = (Check.KEYS, Check.BASIC)


def filters(stage: Stage, hosts: Sequence[VirtualHost]) -> list[Tree]:
    """The HTTP filters of a listener in one place, where any of its hosts needs them."""
    found = _protections(stage, hosts)
    if not found:
        return []
    jwt = typed(
        f"{_FILTERS}.jwt_authn.v3.JwtAuthentication",
        providers={
            _provider_name(each, provider): _provider(each, provider) for each, jwt in _tokens(found)
            for provider in jwt.providers
        },
        requirement_map={str(each.policy): _requirement(each, jwt) for each, jwt in _tokens(found)},
    )  # fmt: skip
    basic = typed(
        f"{_FILTERS}.basic_auth.v3.BasicAuth",
        users={"inline_string": _NOBODY},
        forward_username_header=protocol.CLIENT_ID,
    )
    mutation = typed(
        f"{_FILTERS}.header_mutation.v3.HeaderMutation", mutations={}, most_specific_header_mutations_wins=True
    )
    return [
        {"name": _name(Check.MARKS, stage), "typed_config": mutation},
        {"name": _name(Check.JWT, stage), "typed_config": jwt},
        _where_marked(Check.KEYS, stage, typed(f"{_FILTERS}.api_key_auth.v3.ApiKeyAuth")),
        _where_marked(Check.BASIC, stage, basic),
        {"name": _name(Check.RULES, stage), "typed_config": typed(f"{_FILTERS}.rbac.v3.RBAC")},
        {"name": _name(Check.ENDS, stage), "typed_config": mutation},
    ]


def on_host(host: VirtualHost) -> Tree:
    """Filter settings of a host whose routes all have the same check."""
    return _settings(Stage.EARLY, host.protection) if host.protection is not None else {}


def on_route(entry: Entry, host: VirtualHost) -> Tree:
    """Filter settings of a route that is checked by itself."""
    return _settings(Stage.LATE, entry.protection) if entry.protection is not None and host.protection is None else {}


def on_preflight(host: VirtualHost) -> Tree:
    """Those of a route that only answers preflights, which bring no credential: nothing is checked."""
    if host.protection is None:
        return {}
    unmarked: list[Tree] = [{"remove": _mark(check, Stage.EARLY)} for check in _MARKED]
    return {
        _name(Check.MARKS, Stage.EARLY): _marking(unmarked),
        _name(Check.JWT, Stage.EARLY): typed(f"{_FILTERS}.jwt_authn.v3.PerRouteConfig", disabled=True),
        _name(Check.RULES, Stage.EARLY): typed(f"{_FILTERS}.rbac.v3.RBACPerRoute"),
    }


def headers(found: Protection | None) -> Tree:
    """Fields of a host or a route: the headers in which backends are told of the client."""
    if found is None:
        return {}
    keys, basic = found.rules.keys, found.rules.basic
    shown = [each.forwarded for each in (keys, basic) if each is not None and each.forwarded]
    result: Tree = {}
    if shown:
        result["request_headers_to_add"] = [
            {"header": {"key": name, "value": f"%REQ({protocol.CLIENT_ID})%"},
             "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name in shown
        ]  # fmt: skip
    return result


def remote_keys(hosts: Iterable[VirtualHost]) -> Mapping[str, RemoteKeys]:
    """The key sets that Envoy fetches for these hosts, by the name of their cluster."""
    found = (each for host in hosts for entry in host.entries if (each := entry.protection) is not None)
    return {names.key_set_cluster(keys.uri): keys for each in found for keys in each.remote_keys.values()}


# --- Filters ---------------------------------------------------------------------------------------------------------


def _protections(stage: Stage, hosts: Sequence[VirtualHost]) -> tuple[Protection, ...]:
    """Those that are checked in one place, each policy once."""
    early = (host.protection for host in hosts)
    late = (entry.protection for host in hosts if host.protection is None for entry in host.entries)
    found = early if stage is Stage.EARLY else late
    return tuple({each.policy: each for each in found if each is not None}.values())


def _tokens(found: Sequence[Protection]) -> Iterator[tuple[Protection, JwtAuth]]:
    return ((each, each.rules.jwt) for each in found if each.rules.jwt is not None)


def _name(check: Check, stage: Stage) -> str:
    return f"envoy.filters.http.{check}_{stage}" if "/" in check else f"envoy.filters.http.{check}/{stage}"


def _mark(check: Check, stage: Stage) -> str:
    return f"{protocol.CONTROL_HEADER_PREFIX}check-{check.name.lower()}-{stage}"


def _where_marked(check: Check, stage: Stage, config: Tree) -> Tree:
    marked = {
        "input": {
            "name": "envoy.matching.inputs.request_headers",
            "typed_config": typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=_mark(check, stage)),
        },
        "value_match": {"exact": MARKED},
    }
    skip = {"name": "skip", "typed_config": typed("envoy.extensions.filters.common.matcher.action.v3.SkipFilter")}
    unmarked = {"predicate": {"not_matcher": {"single_predicate": marked}}, "on_match": {"action": skip}}
    return {
        "name": _name(check, stage),
        "typed_config": typed(
            "envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            extension_config={"name": _name(check, stage), "typed_config": config},
            xds_matcher={"matcher_list": {"matchers": [unmarked]}},
        ),
    }


# --- Settings --------------------------------------------------------------------------------------------------------


def _settings(stage: Stage, found: Protection) -> Tree:
    rules = found.rules
    marks = [_marked(Check.KEYS, stage)] if rules.keys else []
    marks += [_marked(Check.BASIC, stage)] if rules.basic else []
    result: Tree = {}
    if marks:
        result[_name(Check.MARKS, stage)] = _marking(marks)
        taken = [_mark(check, stage) for check in _MARKED] + (["authorization"] if rules.basic else [])
        result[_name(Check.ENDS, stage)] = _marking([{"remove": name} for name in taken])
    if rules.jwt:
        required = typed(f"{_FILTERS}.jwt_authn.v3.PerRouteConfig", requirement_name=str(found.policy))
        result[_name(Check.JWT, stage)] = required
    if rules.keys:
        result[_name(Check.KEYS, stage)] = typed(
            f"{_FILTERS}.api_key_auth.v3.ApiKeyAuthPerRoute",
            credentials=[{"key": names.Concealed(key), "client": client} for client, key in found.keys],
            key_sources=list(_key_sources(rules.keys.sources)),
            forwarding={"header": protocol.CLIENT_ID, "hide_credentials": True},
        )
    if rules.basic:
        result[_name(Check.BASIC, stage)] = typed(
            f"{_FILTERS}.basic_auth.v3.BasicAuthPerRoute",
            users={"inline_string": names.Concealed("\n".join(found.users))},
        )
    if rules.authorization:
        chosen = matcher(rules.authorization, {each.name: _provider_name(found, each) for each in _providers(found)})
        result[_name(Check.RULES, stage)] = typed(f"{_FILTERS}.rbac.v3.RBACPerRoute", rbac={"matcher": chosen})
    return result


def _marked(check: Check, stage: Stage) -> Tree:
    header = {"key": _mark(check, stage), "value": MARKED}
    return {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


def _marking(mutations: Sequence[Tree]) -> Tree:
    kind = f"{_FILTERS}.header_mutation.v3.HeaderMutationPerRoute"
    return typed(kind, mutations={"request_mutations": list(mutations)})


def _key_sources(sources: Sequence[Sources]) -> Iterator[Mapping[str, str]]:
    for source in sources:
        yield from ({"header": name} for name, _ in source.headers)
        yield from ({"query": name} for name in source.params)
        yield from ({"cookie": name} for name in source.cookies)


# --- Tokens ----------------------------------------------------------------------------------------------------------


def _providers(found: Protection) -> Sequence[JwtProvider]:
    return found.rules.jwt.providers if found.rules.jwt else ()


def _provider_name(found: Protection, provider: JwtProvider) -> str:
    return f"{found.policy}/{provider.name}"


def _requirement(found: Protection, jwt: JwtAuth) -> Tree:
    accepted: list[Tree] = [{"provider_name": _provider_name(found, each)} for each in jwt.providers]
    if jwt.is_optional:
        accepted.append({"allow_missing": {}})
    return accepted[0] if len(accepted) == 1 else {"requires_any": {"requirements": accepted}}


def _provider(found: Protection, provider: JwtProvider) -> Tree:
    result: Tree = {
        "payload_in_metadata": _provider_name(found, provider),
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope"]},
        "clock_skew_seconds": CLOCK_SKEW_SECONDS,
        "claim_to_headers": [
            {"header_name": header, "claim_name": claim}
            for header, claim in {protocol.CLIENT_ID: _CLIENT_CLAIM, **dict(provider.claims)}.items()
        ],
        **_keys(dict(found.key_sets), provider),
    }
    if provider.issuer:
        result["issuer"] = provider.issuer
    if provider.audiences:
        result["audiences"] = list(provider.audiences)
    if provider.chooses_route:
        result["clear_route_cache"] = True
    if provider.sources is not None:
        result["from_headers"] = [{"name": name, "value_prefix": prefix} for name, prefix in provider.sources.headers]
        result["from_params"] = list(provider.sources.params)
        result["from_cookies"] = list(provider.sources.cookies)
    return result


def _keys(key_sets: Mapping[str, str], provider: JwtProvider) -> Tree:
    if not isinstance(provider.keys, RemoteKeys):
        return {"local_jwks": {"inline_string": key_sets[provider.name]}}
    uri = provider.keys.uri
    return {
        "remote_jwks": {
            "http_uri": {"uri": uri, "cluster": names.key_set_cluster(uri), "timeout": FETCH_TIMEOUT},
            # Fetched when a token is to be verified: keys that Envoy fetches ahead of time never get too old.
            "cache_duration": seconds(provider.keys.cache_seconds),
        }
    }
