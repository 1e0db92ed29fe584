"""Where objects come from, as a command line says it, becomes a source that runs.

Shell. Folders are followed where any is given; else the API server of the cluster that the process runs in, or of a
kubeconfig.
"""

import argparse
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

from gateway.kube.sources.cluster.credentials import from_kubeconfig, in_cluster, is_in_pod
from gateway.kube.sources.cluster.observing import Observer
from gateway.kube.sources.cluster.server import connected
from gateway.kube.sources.cluster.source import ClusterSource, Consumer
from gateway.kube.sources.folders import FolderSource
from gateway.kube.sources.source import StatusSource
from gateway.service import lifecycle
from gateway.service.metrics import Registry

KUBECONFIG: Final = "KUBECONFIG"


class SourceKind(StrEnum):
    FOLDERS = "folders"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Folders:
    """`is_strict`: a mistake in any document keeps everything as it was."""

    dirs: tuple[Path, ...]
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """Of a kubeconfig, or without one that of the process's Pod."""

    kubeconfig: Path | None = None


Origin = Folders | Cluster


def add_source(parser: argparse.ArgumentParser) -> None:
    """The flags of it, beside those for folders."""
    parser.add_argument("--source", type=SourceKind, choices=tuple(SourceKind), default=None,
        help="where objects come from (default: folders where one is given, else the API server, in a Pod or with "
        "a kubeconfig)")  # fmt: skip
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE",
        help=f"how to reach the API server (default: ${KUBECONFIG}, else the Pod's service account)")  # fmt: skip


def origin(
    given: argparse.Namespace, dirs: tuple[Path, ...], environment: Mapping[str, str] = os.environ
) -> Origin | None:
    """Where objects come from; None for nowhere. A kubeconfig of the environment may name several files: the first."""
    named = environment.get(KUBECONFIG, "").partition(os.pathsep)[0]
    kubeconfig = given.kubeconfig or (Path(named) if named else None)
    if given.source is SourceKind.CLUSTER:
        return Cluster(kubeconfig)
    if given.source is SourceKind.FOLDERS or dirs:
        return Folders(dirs) if dirs else None
    return Cluster(kubeconfig) if kubeconfig is not None or is_in_pod(environment) else None


@asynccontextmanager
async def opened(chosen: Origin | None, consumer: Consumer, registry: Registry) -> AsyncIterator[StatusSource | None]:
    """The source, followed while the body runs. Raises CredentialsError or OSError where there is no way to it."""
    if chosen is None:
        yield None
    elif isinstance(chosen, Folders):
        yield FolderSource(chosen.dirs, is_strict=chosen.is_strict, services=consumer.services)
    else:
        credentials = from_kubeconfig(chosen.kubeconfig) if chosen.kubeconfig else in_cluster(os.environ)
        async with connected(credentials) as server:
            source = ClusterSource(server, consumer, Observer(registry), random=Random())
            async with lifecycle.background(source.run()):
                yield source
