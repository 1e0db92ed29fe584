"""Where objects come from, by command line and environment."""

import argparse
from pathlib import Path

import pytest

from gateway.kube.sources.opening import Cluster, Folders, Origin, add_source, origin

FOLDER = (Path("/manifests"),)


def chosen(*argv: str, dirs: tuple[Path, ...] = (), environment: dict[str, str] | None = None) -> Origin | None:
    parser = argparse.ArgumentParser()
    add_source(parser)
    return origin(parser.parse_args(argv), dirs, environment or {})


@pytest.mark.parametrize(
    ("argv", "dirs", "environment", "expected"),
    [
        ((), FOLDER, {}, Folders(FOLDER)),
        ((), FOLDER, {"KUBECONFIG": "/a"}, Folders(FOLDER)),
        ((), (), {}, None),
        ((), (), {"KUBECONFIG": "/a:/b"}, Cluster(Path("/a"))),
        (("--kubeconfig", "/c"), (), {"KUBECONFIG": "/a"}, Cluster(Path("/c"))),
        (("--source", "cluster"), FOLDER, {}, Cluster()),
        (("--source", "folders"), (), {"KUBECONFIG": "/a"}, None),
    ],
)
def test_folders_count_where_any_is_given_else_the_api_server(
    argv: tuple[str, ...], dirs: tuple[Path, ...], environment: dict[str, str], expected: Origin | None
) -> None:
    assert chosen(*argv, dirs=dirs, environment=environment) == expected
