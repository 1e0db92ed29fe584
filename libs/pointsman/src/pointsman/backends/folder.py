"""The folder of manifests that serve the servers that were found. I/O; written again when one that was down answers.

Files are replaced by rename, so that whoever reads the folder sees whole ones. A file that a person has edited since it
was written is left alone.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pointsman.backends.manifests import KEY_FILE

_OWNER_ONLY: Final = 0o600


class ManifestFolder:
    """See the module's docstring."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[str, str] = {}

    def write(self, files: Mapping[str, str]) -> tuple[str, ...]:
        """Bring the folder to these files; the names of those that a person edited, and that stay as they are."""
        self.path.mkdir(parents=True, exist_ok=True)
        edited = tuple(name for name in files if self._is_edited(name))
        for name, text in files.items():
            if name not in edited and self._written.get(name) != text:
                self._replace(name, text)
        for name in [name for name in self._written if name not in files and not self._is_edited(name)]:
            (self.path / name).unlink(missing_ok=True)
            del self._written[name]
        return edited

    def _is_edited(self, name: str) -> bool:
        written = self._written.get(name)
        if written is None:
            return False
        try:
            return (self.path / name).read_text() != written
        except OSError:
            return True  # removed on purpose

    def _replace(self, name: str, text: str) -> None:
        new = self.path / f".{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY if name == KEY_FILE else 0o644)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        new.replace(self.path / name)
        self._written[name] = text
