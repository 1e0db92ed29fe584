"""The commands that end: check, diff, render, status. Each returns its exit status.

0: all is well; 1: something is wrong, or for `diff`: something differs; 2: the command could not do its work.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from controlplane.command_line import DEFAULT, Form, options
from controlplane.diff import differences
from controlplane.document import Tree, document, tree
from controlplane.options import Options
from controlplane.plane import View
from controlplane.render import Rendered, render
from controlplane.status.report import complaints, summary
from controlplane.status.tables import coloured, manifests, table
from controlplane.xds.concealing import concealed
from controlplane.xds.files import FolderServer
from gateway.kube.resolution.base_models import base_models
from gateway.kube.resolution.endpoints import hostnames
from gateway.kube.resolution.merging import Loaded
from gateway.kube.sources.files import load
from gateway.kube.sources.resolve import Resolver
from gateway.service import operators

GOOD: Final = 0
WRONG: Final = 1
UNABLE: Final = 2
ASK_SECONDS: Final = 5.0


def check(given: argparse.Namespace) -> int:
    """Everything that is wrong, then everything that is right and yet not served as it may be meant."""
    if _missing(given.config_dir):
        return UNABLE
    chosen = replace(DEFAULT, default_picker=given.default_picker, handled_elsewhere=frozenset(given.handled_elsewhere))
    loaded, rendered = _rendered(given.config_dir, chosen)
    if given.json:
        return _checked(loaded, rendered)
    for line in (*(problem.exact for problem in loaded.problems), *rendered.faults):
        print(line, file=sys.stderr)
    found = (*loaded.notes, *base_models(loaded.manifests).conflicts)
    for note in (*(each.exact for each in found), *complaints(rendered.status)):
        print(f"note: {note}", file=sys.stderr)
    print(summary(rendered.status))
    return WRONG if loaded.problems or rendered.faults else GOOD


def _checked(loaded: Loaded, rendered: Rendered) -> int:
    """The same for programs."""
    found = _tree(loaded, rendered)
    shown = {key: found[key] for key in ("faults", "problems", "notes", "warnings")}
    shown["notes"] = [*map(str, (*loaded.notes, *base_models(loaded.manifests).conflicts))]
    sys.stdout.write(
        document({**shown, "complaints": [*complaints(rendered.status)], "summary": summary(rendered.status)})
    )
    return WRONG if loaded.problems or rendered.faults else GOOD


def diff(given: argparse.Namespace) -> int:
    """What Envoy would change on the way from one folder to another."""
    if _missing((given.before, given.after)):
        return UNABLE
    chosen, snapshots = options(given), []
    for folder in (given.before, given.after):
        loaded, rendered = _rendered((folder,), chosen)
        wrong = (*(problem.exact for problem in loaded.problems), *rendered.faults)
        for line in wrong:
            print(line, file=sys.stderr)
        if wrong:
            return UNABLE
        snapshots.append(rendered.snapshot)
    lines = list(differences(*snapshots))
    if given.json:
        sys.stdout.write(document({"differences": lines}))
    else:
        print(*lines, sep="\n", end="\n" if lines else "")
    return WRONG if lines else GOOD


def once(given: argparse.Namespace) -> int:
    """Write Envoy's files."""
    loaded, rendered = _rendered(given.config_dir, options(given))
    if given.json:
        _checked(loaded, rendered)
    else:
        for line in (*(f"note: {note}" for note in loaded.notes), *map(str, loaded.problems), *rendered.faults):
            print(line, file=sys.stderr)
    if rendered.faults or (loaded.problems and given.strict):
        return WRONG
    shown = rendered.snapshot if given.with_secrets else concealed(rendered.snapshot)
    asyncio.run(FolderServer(given.output_dir).serve(shown))
    return WRONG if loaded.problems else GOOD


def status(given: argparse.Namespace) -> int:
    """Conditions, of a running control plane or of what one would make of folders."""
    if given.url:
        try:
            found = operators.fetch(given.url, "/status", ASK_SECONDS)
        except operators.PortError as error:
            print(f"controlplane: {error}", file=sys.stderr)
            return UNABLE
    else:
        loaded, rendered = _rendered(given.config_dir, options(given))
        found = _tree(loaded, rendered)
    shown = {Form.JSON: document, Form.YAML: manifests, Form.TABLE: table}[Form(given.output)]
    text = shown(found)
    is_for_people = given.output == Form.TABLE and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    sys.stdout.write(coloured(text) if is_for_people else text)
    return WRONG if found["problems"] or found["faults"] else GOOD


def _tree(loaded: Loaded, rendered: Rendered) -> Tree:
    """As /status of a control plane that serves this."""
    return tree(View(status=rendered.status, faults=rendered.faults, problems=loaded.problems, notes=loaded.notes))


def _missing(folders: Sequence[Path]) -> bool:
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        print(f"{folder}: no such folder", file=sys.stderr)
    return bool(missing)


def _rendered(folders: Sequence[Path], chosen: Options) -> tuple[Loaded, Rendered]:
    loaded = load(folders)
    return loaded, render(loaded.manifests, asyncio.run(_resolved(loaded, chosen)), chosen)


async def _resolved(loaded: Loaded, chosen: Options) -> dict[str, tuple[str, ...]]:
    resolver = Resolver()
    try:
        return dict(await resolver.resolve(hostnames(loaded.manifests, chosen.services)))
    finally:
        resolver.close()
