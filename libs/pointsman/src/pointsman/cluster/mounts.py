"""Files that a container would have from ConfigMaps, for a program that runs without the container. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from gateway.kube.objects import Manifests, ObjectName
from pointsman.cluster.workload import Container, Template


def mounted(container: Container, template: Template, namespace: str, manifests: Manifests) -> Mapping[str, str]:
    """The text of each file by its path in the container."""
    return dict(_files(container, template, namespace, manifests))


def with_files(
    arguments: Sequence[str], files: Mapping[str, str], folder: Path
) -> tuple[tuple[str, ...], Mapping[Path, str]]:
    """Arguments that name copies of mounted files in a folder of this host, and those copies."""
    words, copies = [], {}
    for word in arguments:
        name, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if value in files:
            copy = folder / value.strip("/").replace("/", "-")
            copies[copy] = files[value]
            value = str(copy)
        words.append(f"{name}{equals}{value}")
    return tuple(words), copies


def _files(container: Container, template: Template, namespace: str, manifests: Manifests) -> Iterator[tuple[str, str]]:
    for mount in container.mounts:
        name = template.config_volumes.get(mount.volume)
        found = manifests.config_maps.get(ObjectName(namespace, name)) if name else None
        for key, text in found.data.items() if found is not None else ():
            if mount.key in ("", key):
                yield (mount.path if mount.key else str(PurePosixPath(mount.path) / key)), text
