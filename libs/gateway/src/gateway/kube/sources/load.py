"""Folders of manifests become one `Manifests` value, or a list of what is wrong with them.

Shell: reads files, nothing else. Folders count in order: an object of a later one replaces the same object (kind,
namespace, name) of an earlier one whole, so that an overlay holds only what differs.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.kube import objects
from gateway.kube.objects import Manifests, ObjectName, Parsed
from gateway.kube.reading import read
from gateway.schema.documents import Document, Problem, parse
from gateway.schema.fields import Findings

SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # an etcd object has at most 1.5 MiB
MAX_FILES: Final = 10_000  # more is a folder given by mistake, such as a home directory


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of the folders. With problems, `manifests` holds only what could be read: do not act on it."""

    manifests: Manifests
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()  # accepted, but without the effect that the author may expect


def load(dirs: Sequence[Path]) -> Loaded:
    """Read every manifest below the folders."""
    findings = Findings()
    merged: dict[tuple[str, str, str, str], Document] = {}
    for folder in dirs:
        merged.update(_folder(folder, findings))
    found: dict[type, dict[ObjectName, Parsed]] = {}
    for document in merged.values():
        parsed = read(document, findings)
        if parsed is not None:
            found.setdefault(type(parsed), {})[parsed.meta.id] = parsed
    return Loaded(_manifests(found), tuple(sorted(set(findings.problems))), tuple(sorted(set(findings.notes))))


def files(folder: Path) -> Iterator[Path]:
    """The manifests below a folder in a stable order. Hidden names are skipped (a mounted ConfigMap's `..data`)."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _leads_back(parent, name))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent, name)


def _leads_back(parent: str, name: str) -> bool:
    """Whether a link leads to a folder around it, which would be read again and again."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())


def _folder(folder: Path, findings: Findings) -> Mapping[tuple[str, str, str, str], Document]:
    if not folder.is_dir():
        findings.problems.append(Problem(str(folder), 0, "", "no such folder"))
        return {}
    found: dict[tuple[str, str, str, str], Document] = {}
    for count, path in enumerate(files(folder)):
        if count == MAX_FILES:
            findings.problems.append(Problem(str(folder), 0, "", f"more than {MAX_FILES} manifests"))
            break
        for document in _file(path, findings):
            first = found.setdefault(document.identity, document)
            if first is not document and document.name:
                findings.problems.append(document.problem("metadata.name", f"already in {first.file}:{first.line()}"))
    return found


def _file(path: Path, findings: Findings) -> tuple[Document, ...]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            findings.problems.append(Problem(str(path), 0, "", f"larger than {MAX_FILE_BYTES} bytes"))
            return ()
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        findings.problems.append(Problem(str(path), 0, "", f"cannot be read: {error.strerror}"))
        return ()
    except UnicodeDecodeError as error:
        findings.problems.append(Problem(str(path), 0, "", f"not UTF-8 at byte {error.start}"))
        return ()
    documents, problems = parse(text, str(path))
    findings.problems.extend(problems)
    return documents


def _manifests(found: Mapping[type, Mapping[ObjectName, Parsed]]) -> Manifests:
    def of(kind: type) -> Mapping[ObjectName, object]:
        return MappingProxyType(dict(found.get(kind, {})))

    return Manifests(**{name: of(kind) for name, kind in _KINDS.items()})  # type: ignore[arg-type]  # keyed by type above


_KINDS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "namespaces": objects.Namespace,
        "gateways": objects.Gateway,
        "routes": objects.HTTPRoute,
        "grants": objects.ReferenceGrant,
        "pools": objects.InferencePool,
        "objectives": objects.InferenceObjective,
        "rewrites": objects.InferenceModelRewrite,
        "models": objects.InferenceModel,
        "slices": objects.EndpointSlice,
        "services": objects.Service,
        "config_maps": objects.ConfigMap,
        "destination_rules": objects.DestinationRule,
    }
)
