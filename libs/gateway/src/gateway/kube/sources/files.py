"""Folders of files are read into objects, each file again only when it has changed.

Shell: blocking file access, to be driven from a worker thread or a command. It keeps what every file held; a look at
the folders costs one `stat` for each file, an edit the parsing of the files that changed.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from gateway.kube.reading.contents import Contents, entries
from gateway.kube.resolution.derived import with_derived
from gateway.kube.resolution.merging import Loaded, merged
from gateway.schema.problems import Place, Problem
from gateway.schema.yamltext import Pause, no_pause
from gateway.service import clock

SUFFIXES: Final = (".yaml", ".yml", ".json")
MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # an etcd object has at most 1.5 MiB
MAX_FILES: Final = 10_000  # more is a folder given by mistake, such as a home directory


class Stamp(NamedTuple):
    """Changes whenever a file does."""

    inode: int
    size: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    files: tuple[tuple[str, Stamp | None], ...] | None  # None: there is no such folder

    def problem(self) -> str | None:
        """What is wrong with the folder as a whole."""
        if self.files is None:
            return "no such folder"
        return f"more than {MAX_FILES} manifests" if len(self.files) > MAX_FILES else None


class FolderReader:
    """Reads folders; one thread at a time may use it."""

    def __init__(self, dirs: Sequence[Path], pause: Pause = no_pause) -> None:
        self._dirs = tuple(dirs)
        self._pause = pause
        self._seen: tuple[_Folder, ...] = ()
        self._known: dict[str, tuple[Stamp | None, Contents]] = {}
        self.look_seconds = 0.0  # what the last look at every file's stamp took

    def read(self) -> Loaded | None:
        """Every object of the folders; None if nothing has changed since the last reading."""
        began = clock.monotonic()
        folders = tuple(self._look(path) for path in self._dirs)
        self.look_seconds = clock.monotonic() - began
        if folders == self._seen:
            return None
        known: dict[str, tuple[Stamp | None, Contents]] = {}
        for folder in folders:
            for file, stamp in (folder.files or ())[:MAX_FILES]:
                before = self._known.get(file)
                known[file] = before if before is not None and before[0] == stamp else (stamp, self._file(file, stamp))
        self._seen, self._known = folders, known
        return merged(self._contents(folder) for folder in folders)

    def _look(self, folder: Path) -> _Folder:
        if not folder.is_dir():
            return _Folder(folder, None)
        found = []
        for file in files(folder):
            found.append((file, _stamp(file)))
            self._pause()
            if len(found) > MAX_FILES:
                break
        return _Folder(folder, tuple(found))

    def _contents(self, folder: _Folder) -> Sequence[Contents]:
        problem = folder.problem()
        own = [Contents(problems=(Problem(Place(str(folder.path)), "", problem),))] if problem else []
        return [*own, *(self._known[file][1] for file, _ in (folder.files or ())[:MAX_FILES])]

    def _file(self, file: str, stamp: Stamp | None) -> Contents:
        try:
            if stamp is not None and stamp.size > MAX_FILE_BYTES:
                return _refused(file, f"larger than {MAX_FILE_BYTES} bytes")
            text = Path(file).read_text(encoding="utf-8")
        except OSError as error:
            return _refused(file, f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            return _refused(file, f"not UTF-8 at byte {error.start}")
        problems: list[Problem] = []
        found = tuple(entries(text, file, problems, self._pause))
        return Contents(found, tuple(problems))


def files(folder: Path) -> Iterator[str]:
    """The manifests below a folder in a stable order. Hidden names are skipped (a mounted ConfigMap's `..data`)."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _leads_back(parent, name))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield os.path.join(parent, name)  # noqa: PTH118 - ten thousand times a second


def _leads_back(parent: str, name: str) -> bool:
    """Whether a link leads to a folder around it, which would be read again and again."""
    path = Path(parent, name)
    return path.is_symlink() and Path(parent).resolve().is_relative_to(path.resolve())


def _stamp(file: str) -> Stamp | None:
    try:
        stat = os.stat(file)  # noqa: PTH116 - ten thousand times a second
    except OSError:
        return None
    return Stamp(stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _refused(file: str, message: str) -> Contents:
    return Contents(problems=(Problem(Place(file), "", message),))


def load(dirs: Sequence[Path]) -> Loaded:
    """Read folders once."""
    loaded = FolderReader(dirs).read()
    if loaded is None:
        return Loaded(merged(()).manifests)
    return replace(loaded, manifests=with_derived(loaded.manifests))
