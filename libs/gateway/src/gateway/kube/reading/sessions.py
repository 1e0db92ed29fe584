"""The `sessionPersistence` of a rule is read, as GEP-1619 has it in the experimental channel. Pure."""

from typing import Final

from gateway.kube.objects import SessionPersistence
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

DEFAULT_NAME: Final = "gateway-session"
_LONGEST_NAME: Final = 128


def session_of(item: Fields) -> SessionPersistence:
    is_header = item.choice("type", ("Cookie", "Header"), "Cookie") == "Header"
    name = item.text("sessionName", DEFAULT_NAME, longest=_LONGEST_NAME)
    if not spelling.is_header_name(name):
        item.problem("sessionName", f"not a name: {what(name)}")
    absolute = item.duration("absoluteTimeout")
    item.ignored("idleTimeout", "without effect here: a session lasts as long as its token is sent")
    cookie = item.child("cookieConfig")
    lifetime = cookie.choice("lifetimeType", ("Session", "Permanent"), "Session") if cookie else "Session"
    is_permanent = lifetime == "Permanent"
    if cookie:
        cookie.done()
    if is_header and cookie:
        item.problem("cookieConfig", "only a cookie has one")
    if is_permanent and not absolute:
        item.problem("absoluteTimeout", "must be specified when cookie lifetimeType is Permanent")
    if absolute and not is_permanent:
        item.at("absoluteTimeout").note("without effect here but for a permanent cookie")
    item.done()
    return SessionPersistence(name, is_header, absolute if is_permanent else None)
