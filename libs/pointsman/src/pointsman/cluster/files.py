"""What a person names on the command line becomes folders of manifests, and what is read of them. I/O, at the start."""

import http.client
import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from gateway.kube.objects import Backend, BackendEndpoint, Manifests, ObjectName
from gateway.kube.reading.documents import Document, documents
from gateway.kube.resolution.endpoints import format_endpoint
from gateway.kube.sources import files
from gateway.schema.problems import Findings
from gateway.schema.yamltext import parse

ANSWER_SECONDS: Final = 3.0  # a server that can be reached at all answers in milliseconds
_HTTPS_PORT: Final = 443
ANSWER_LIMIT: Final = 4 * 1024 * 1024  # what is longer is no model list
_AT_ONCE: Final = 32


class UnreadableError(Exception):
    """Manifests that cannot be served; the message has a line for each reason."""


@dataclass(frozen=True, slots=True)
class Read:
    """The objects that are acted on, and every document as it was written."""

    manifests: Manifests
    documents: tuple[Document, ...]


def folders_of(paths: Sequence[Path], run: Path) -> tuple[Path, ...]:
    """A folder for each path: a file gets one with a link to it, so that edits take effect."""
    missing = [f"{path}: no such file or folder" for path in paths if not path.exists()]
    wrong = [
        f"{path}: not a manifest, whose name ends in {', '.join(files.SUFFIXES)}" for path in paths if _is_odd(path)
    ]
    if missing or wrong:
        raise UnreadableError("\n".join((*missing, *wrong)))
    return tuple(
        path.resolve() if path.is_dir() else _linked(path, run / f"given-{at}") for at, path in enumerate(paths)
    )


def _is_odd(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(files.SUFFIXES)


def _linked(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / path.name).symlink_to(path.resolve())
    return folder


def read(folders: Sequence[Path]) -> Read:
    """Everything in these folders. Any problem is an `UnreadableError`."""
    loaded = files.load(folders)
    if loaded.problems:
        raise UnreadableError("\n".join(problem.exact for problem in loaded.problems))
    return Read(loaded.manifests, tuple(_documents(folders)))


def _documents(folders: Sequence[Path]) -> Iterator[Document]:
    findings = Findings()  # what is wrong was found before
    for folder in folders:
        for file in files.files(folder):
            for located in parse(Path(file).read_text(encoding="utf-8"), file, findings):
                yield from documents(located, file, findings)


def reachable(backends: Mapping[ObjectName, Backend]) -> Mapping[ObjectName, bool]:
    """Whether any endpoint of each answers as a server does."""
    endpoints = {(endpoint, found.tls is not None) for found in backends.values() for endpoint in found.endpoints}
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = dict(zip(endpoints, threads.map(_answers, endpoints), strict=True))
    return {
        name: any(answers[endpoint, found.tls is not None] for endpoint in found.endpoints)
        for name, found in backends.items()
    }


def _answers(place: tuple[BackendEndpoint, bool]) -> bool:
    """Whether it lists models or wants a key for that. Proxies answer for servers that are not there, with an error."""
    endpoint, is_tls = place
    scheme = "https" if is_tls or endpoint.port == _HTTPS_PORT else "http"
    url = f"{scheme}://{format_endpoint(endpoint.host, endpoint.port)}/v1/models"
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as response:  # noqa: S310 - http or https
            found = json.loads(response.read(ANSWER_LIMIT))
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except urllib.error.URLError as error:  # a certificate that nobody here trusts belongs to a server
        return isinstance(error.reason, ssl.SSLCertVerificationError)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return isinstance(found, dict) and isinstance(found.get("data"), list)


def is_free(host: str, port: int) -> bool:
    """Whether a server can listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def write(folder: Path, trees: Sequence[Mapping[str, Any]]) -> None:
    """The overlay of a run, in place of an earlier run's."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "# Made by `pointsman up`, anew at each start: what runs here in the place of a cluster's servers.\n"
    (folder / "simulated.yaml").write_text(head + yaml.safe_dump_all(trees, sort_keys=False))
