"""A Pod is read as `kubectl get pods -o yaml` prints it, lenient about other fields. Pure."""

from typing import Final

from gateway.kube.objects import ContainerPort, Meta, Pod
from gateway.kube.reading.parts import MAX_PORT
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.wording import what

MAX_CONTAINERS: Final = 100  # of a Pod, and ports of a container; a hundred times what is usual
MAX_CONDITIONS: Final = 100
MAX_ADDRESSES: Final = 16  # one of each family is usual


def pod(meta: Meta, top: Fields) -> Pod:
    spec, status = top.child("spec"), top.child("status")
    return Pod(
        meta=meta,
        addresses=_addresses(status) if status else (),
        ready=_is_ready(status) if status else False,
        ports=tuple(_ports(spec)) if spec else (),
    )


def _addresses(status: Fields) -> tuple[str, ...]:
    """Each address once; a Pod that is not scheduled yet has none."""
    written = [("podIP", status.text("podIP"))]
    for index, item in enumerate(status.children("podIPs", MAX_ADDRESSES)):
        written.append((f"podIPs[{index}].ip", item.text("ip")))
    for key, address in written:
        if address and spelling.ip_version(address) is None:
            status.problem(key, f"expected an IP address, got {what(address)}")
    return tuple(dict.fromkeys(address for _, address in written if spelling.ip_version(address)))


def _is_ready(status: Fields) -> bool:
    conditions = status.children("conditions", MAX_CONDITIONS)
    return any(item.text("type") == "Ready" and item.text("status") == "True" for item in conditions)


def _ports(spec: Fields) -> list[ContainerPort]:
    return [
        ContainerPort(
            name=item.text("name"),
            port=item.integer("containerPort", 1, MAX_PORT, required=True) or 0,
            protocol=item.text("protocol", "TCP"),
        )
        for container in spec.children("containers", MAX_CONTAINERS)
        for item in container.children("ports", MAX_CONTAINERS)
    ]
