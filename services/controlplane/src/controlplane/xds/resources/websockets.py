"""Websockets: beside each route of an HTTPRoute that opens them, one that only requests for a websocket match. Pure.

What such a request sends has no end that anybody could wait for, so no filter of that route reads its body. Everywhere
else an offer of a websocket is no more than any other: where a listener has no such route, it is ignored.
"""

from collections.abc import Sequence
from typing import Final

from controlplane.plan.entries import Entry, VirtualHost
from controlplane.xds.resources import modifiers, picker_filters, unread
from controlplane.xds.resources.names import Tree

_PROTOCOL: Final = "websocket"
# As RFC 6455 has the request. Envoy takes `Upgrade` away where `Connection` does not name it.
_OFFERED: Final[tuple[Tree, ...]] = (
    {"name": ":method", "string_match": {"exact": "GET"}},
    {"name": "upgrade", "string_match": {"exact": _PROTOCOL, "ignore_case": True}},
)


def opens(entry: Entry) -> bool:
    """Whether requests of an entry may become websockets."""
    return entry.route.meta.websockets and entry.match.method in ("", "GET")


def ignored(hosts: Sequence[VirtualHost]) -> list[Tree]:
    """The tokens of Upgrade that a listener ignores: all, but that of websockets where a route opens them. RE2 has no
    word for "not this one": the others are those that differ at some letter first, and longer ones."""
    if not any(opens(entry) for host in hosts for entry in host.entries):
        return [_matcher(".*")]
    differing = [f"{_PROTOCOL[:place]}([^{letter}].*)?" for place, letter in enumerate(_PROTOCOL)]
    return [_matcher(f"(?i){pattern}") for pattern in (*differing, f"{_PROTOCOL}.+")]


def route(found: Tree) -> Tree:
    """The companion of a route that leads somewhere."""
    wanted, action = found["match"], found["route"]
    assert isinstance(wanted, dict)
    assert isinstance(action, dict)
    opened: Tree = {key: value for key, value in action.items() if key != "request_mirror_policies"}
    shares = opened.get("weighted_clusters")
    if isinstance(shares, dict):
        opened["weighted_clusters"] = {**shares, "clusters": [_unread(share) for share in shares["clusters"]]}
    companion: Tree = {
        **_unread(found),
        "name": f"{found['name']}/websocket",
        "match": {**wanted, "headers": [*wanted.get("headers", []), *_OFFERED]},
        "route": {**opened, "upgrade_configs": [{"upgrade_type": _PROTOCOL}]},
    }
    return modifiers.with_filters(companion, unread.only_headers())


def _unread(part: Tree) -> Tree:
    """A route, or a share of one, whose picker decides without a body."""
    settings = part.get("typed_per_filter_config")
    if not isinstance(settings, dict):
        return part
    return {**part, "typed_per_filter_config": picker_filters.without_body(settings)}


def _matcher(pattern: str) -> Tree:
    return {"safe_regex": {"regex": pattern}}
