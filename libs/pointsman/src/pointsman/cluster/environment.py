"""The variables of a container as a cluster would set them, and `$(NAME)` in its words. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.kube.objects import Manifests, ObjectName
from pointsman.cluster.workload import Container, Source, Template

NODE: Final = "localhost"
_REFERENCE: Final = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_SUBSCRIPT: Final = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
# They say where programs and libraries are in an image, and would keep one of this host from starting.
_OF_THE_IMAGE: Final = re.compile(r"PATH|LD_.*|PYTHON.*|VIRTUAL_ENV|HOME")


@dataclass(frozen=True, slots=True)
class Pod:
    """One Pod as its containers may ask about it."""

    id: ObjectName
    labels: Mapping[str, str]
    address: str
    template: Template

    def field(self, path: str) -> str:
        """The value of a `fieldPath`; empty for one that no Pod here has."""
        subscript = _SUBSCRIPT.fullmatch(path)
        if subscript is not None:
            found = self.labels if subscript[1] == "labels" else self.template.annotations
            return found.get(subscript[2], "")
        return {
            "metadata.name": self.id.name,
            "metadata.namespace": self.id.namespace,
            "metadata.uid": f"{self.id.namespace}.{self.id.name}",
            "spec.nodeName": NODE,
            "spec.serviceAccountName": self.template.service_account,
            "status.hostIP": "127.0.0.1",
            "status.hostIPs": "127.0.0.1",
            "status.podIP": self.address,
            "status.podIPs": self.address,
        }.get(path, "")


def environment_of(container: Container, pod: Pod, manifests: Manifests) -> dict[str, str]:
    """Its variables. One that comes from an object that is not there is left away, as an optional one would be."""
    found: dict[str, str] = {}
    for source in container.env_from:
        found |= _all_of(source, pod.id.namespace, manifests)
    for variable in container.env:
        value = expanded(variable.value, found)
        if variable.source is not None:
            taken = _value_of(variable.source, pod, manifests)
            if taken is None:
                continue
            value = taken
        found[variable.name] = value
    return {name: value for name, value in found.items() if not _OF_THE_IMAGE.fullmatch(name)}


def expanded(word: str, environment: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`; `$$` is a dollar, and an unknown name stays as it is written."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[1] is None else environment.get(match[1], match[0])

    return _REFERENCE.sub(value, word)


def _value_of(source: Source, pod: Pod, manifests: Manifests) -> str | None:
    if source.kind == "fieldRef":
        return pod.field(source.name)
    return dict(_entries(source, pod.id.namespace, manifests)).get(source.key)


def _all_of(source: Source, namespace: str, manifests: Manifests) -> dict[str, str]:
    return dict(_entries(source, namespace, manifests))


def _entries(source: Source, namespace: str, manifests: Manifests) -> Iterator[tuple[str, str]]:
    name = ObjectName(namespace, source.name)
    if source.kind.startswith("configMap"):
        config_map = manifests.config_maps.get(name)
        yield from config_map.data.items() if config_map is not None else ()
        return
    secret = manifests.secrets.get(name)
    for key, value in secret.data.items() if secret is not None else ():
        yield key, value.decode(errors="replace")
