"""Sessions that stay with their endpoint: Envoy's stateful_session filter and its settings on routes. Pure.

The endpoint of a session comes before what a picker picked and before Envoy's own balancing, on the first attempt; one
that is gone or out is replaced as if the session were new.
"""

from collections.abc import Iterable
from typing import Final

from controlplane.plan.entries import Entry, VirtualHost
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, seconds, typed
from gateway.kube.objects import SessionPersistence

_FILTER: Final = "envoy.extensions.filters.http.stateful_session.v3"
_STATE: Final = "envoy.extensions.http.stateful_session"


def filters(hosts: Iterable[VirtualHost]) -> list[Tree]:
    """The HTTP filter of a listener, where a rule asks for it. It follows whatever chooses the route."""
    if any(entry.rule.session for host in hosts for entry in host.entries):
        return [{"name": names.SESSION_FILTER, "typed_config": typed(f"{_FILTER}.StatefulSession")}]
    return []


def settings(entry: Entry) -> Tree:
    """Filter settings of a route."""
    session = entry.rule.session
    if session is None:
        return {}
    state = {"session_state": _header(session) if session.is_header else _cookie(session)}
    return {names.SESSION_FILTER: typed(f"{_FILTER}.StatefulSessionPerRoute", stateful_session=state)}


def _header(session: SessionPersistence) -> Tree:
    kind = f"{_STATE}.header.v3.HeaderBasedSessionState"
    return {"name": "envoy.http.stateful_session.header", "typed_config": typed(kind, name=session.name)}


def _cookie(session: SessionPersistence) -> Tree:
    cookie: Tree = {"name": session.name, "path": "/"}
    if session.lifetime is not None:
        cookie["ttl"] = seconds(session.lifetime)
    kind = f"{_STATE}.cookie.v3.CookieBasedSessionState"
    return {"name": "envoy.http.stateful_session.cookie", "typed_config": typed(kind, cookie=cookie)}
