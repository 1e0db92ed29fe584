"""Commands about manifests, which need no running stack: `check`, `render`, `diff`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pointsman.commands.command import Command, add_json, become


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    add_json(parser)


def _check(given: argparse.Namespace) -> int:
    become("controlplane", "check", *_folders(given.folders), *_json(given))


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--output-dir", type=Path, required=True, metavar="DIR")
    add_json(parser)


def _render(given: argparse.Namespace) -> int:
    become("controlplane", "render", *_folders(given.folders), "--output-dir", str(given.output_dir), *_json(given))


def _add_diff(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    add_json(parser)


def _diff(given: argparse.Namespace) -> int:
    become("controlplane", "diff", str(given.before), str(given.after), *_json(given))


def _folders(folders: Sequence[Path]) -> list[str]:
    return [word for folder in folders for word in ("--config-dir", str(folder))]


def _json(given: argparse.Namespace) -> list[str]:
    return ["--json"] if given.json else []


MANIFESTS: Final = (
    Command("check", "read manifests and say what is wrong; 1 if anything is",
            "  pointsman check manifests/\n  pointsman check base/ overlay/ --json\n", _add_check, _check),
    Command("render", "write Envoy's files for manifests, and start nothing",
            "  pointsman render manifests/ --output-dir xds/\n", _add_render, _render),
    Command("diff", "what Envoy would change between two folders; 1 if anything",
            "  pointsman diff manifests/ changed/\n", _add_diff, _diff),
)  # fmt: skip
