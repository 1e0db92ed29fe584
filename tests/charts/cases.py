"""The cases that charts are rendered for, and the files in which the result stands. No helm is needed to read them.

A rendered file names a hash of what it was rendered from: a chart that was changed since is noticed without helm.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CASES = "tests/data/charts/cases.yaml"
NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Case:
    """One rendering. `set` are helm's own words."""

    name: str
    root: Path
    chart: str
    release: str
    values: Mapping[str, Any]
    set: tuple[str, ...]
    file: Path

    @property
    def folder(self) -> Path:
        """The chart's."""
        return self.root / "charts" / self.chart

    def head(self) -> str:
        """The first line of the file."""
        digest = hashlib.sha256(json.dumps([self.release, self.values, self.set], sort_keys=True).encode())
        for source in sorted(each for each in self.folder.rglob("*") if each.is_file()):
            digest.update(source.relative_to(self.folder).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
        return f"# Rendered from charts/{self.chart} by `make render-charts`: {digest.hexdigest()[:16]}\n"

    def documents(self) -> list[dict[str, Any]]:
        """What stands in the file."""
        return [each for each in yaml.safe_load_all(self.file.read_text()) if each]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """Those of the documents that are of one of these kinds."""
        return [each for each in self.documents() if each["kind"] in kinds]


def cases(root: Path) -> Iterator[Case]:
    """All of them, in their order."""
    for name, written in yaml.safe_load((root / CASES).read_text()).items():
        file = root / written.get("file", f"tests/data/charts/{name}.yaml")
        yield Case(
            name, root, written["chart"], written["release"], written.get("values", {}),
            tuple(written.get("set", ())), file,
        )  # fmt: skip
