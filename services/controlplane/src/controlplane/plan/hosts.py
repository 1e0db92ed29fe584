"""Host names of listeners and routes: which match which, and which wins. Pure.

A host name is exact, a wildcard (`*.example.com`, one or more labels), or empty for every host.
"""


def covers(pattern: str, host: str) -> bool:
    """Whether every request for `host` (itself a name or a wildcard) also matches `pattern`."""
    if pattern in ("", host):
        return True
    return pattern.startswith("*.") and host.removeprefix("*").endswith(pattern[1:]) and host != pattern[2:]


def intersect(listener: str, route: str) -> str | None:
    """The hosts that both match, or None: the narrower of the two when one covers the other."""
    if covers(listener, route) and route:
        return route
    if covers(route, listener):
        return listener
    return None


def specificity(host: str) -> tuple[int, int]:
    """Sorts the most specific first: more characters without the wildcard, exact before wildcard."""
    return (-len(host.removeprefix("*.")), int(host.startswith("*")))


def domain(host: str) -> str:
    """As Envoy writes it."""
    return host or "*"
