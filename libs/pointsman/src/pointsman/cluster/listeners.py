"""The ports that Gateways listen on, and those of this host that they are served on. Pure."""

from gateway.kube.objects import Manifests
from processes.plan import Ports

_PRIVILEGED = 1024
_ABOVE = 8000  # 443 is served on 8443


def bound(manifests: Manifests, ports: Ports, offset: int) -> tuple[tuple[int, int], ...]:
    """Each port with the one it is served on. 80, or else the lowest, is the gateway's own."""
    written = sorted({listener.port for gateway in manifests.gateways.values() for listener in gateway.listeners})
    if not written:
        return ()
    first = 80 if 80 in written else written[0]
    taken = {*ports.named().values()}
    found = {first: ports.gateway}
    for port in written:
        if port == first:
            continue
        wanted = (port if port >= _PRIVILEGED else port + _ABOVE) + offset
        while wanted in taken:
            wanted += 1
        taken.add(wanted)
        found[port] = wanted
    return tuple(found.items())
