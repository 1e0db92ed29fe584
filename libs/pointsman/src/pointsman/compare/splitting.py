"""The split of a route, kept as a manifest in a folder that is laid over those of the stack. I/O."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import yaml

from gateway.kube.reading.documents import Document
from gateway.kube.sources.files import FolderReader
from pointsman.cluster import files
from pointsman.compare.halves import UnsplittableError, route_named, split
from pointsman.compare.stack import refusal

_FILE: Final = "compare.yaml"
_HEAD: Final = "# Made by `pointsman compare`, and removed when it ends.\n"


class Splitting:
    """The route and the twins of its pools, made anew when the manifests change."""

    def __init__(self, name: str, folders: Sequence[Path]) -> None:
        self._name = name
        self._folders = tuple(folders)
        self._reader = FolderReader(folders)
        self._reader.read()
        self._text = self._read()

    def check(self) -> None:
        """`UnsplittableError` unless the control plane would serve it, before anything is changed."""
        with TemporaryDirectory() as folder:
            self.write(Path(folder))
            why = refusal(self.route.meta.id, (*self._folders, Path(folder)))
        if why is not None:
            raise UnsplittableError(f"HTTPRoute {self.route.meta.id} would not be served in halves: {why}")

    def write(self, folder: Path) -> None:
        """Lay it over the manifests; whole at once, since it is watched."""
        made = folder / f".{_FILE}"
        made.write_text(self._text)
        made.rename(folder / _FILE)

    def remove(self, folder: Path) -> None:
        """Let all requests ask the picker again."""
        (folder / _FILE).unlink(missing_ok=True)

    def follow(self, folder: Path) -> None:
        """Take edits of the route and its pools. What cannot be read or split leaves the split as it is."""
        if self._reader.read() is not None:
            try:
                text = self._read()
            except (UnsplittableError, files.UnreadableError):
                return
            if text != self._text:
                self._text = text
                self.write(folder)

    def _read(self) -> str:
        found = files.read(self._folders)
        self.route: Document = route_named(self._name, found.documents)
        return _HEAD + yaml.safe_dump_all(split(self.route, found.documents, found.manifests), sort_keys=False)
