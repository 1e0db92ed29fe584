"""What Envoy would change between two snapshots, in lines for people. Pure. Credentials are not shown."""

from collections.abc import Iterator
from difflib import unified_diff
from typing import Final

import orjson

from controlplane.xds.concealing import without_credentials
from controlplane.xds.resources import names
from controlplane.xds.snapshot import Resource, Snapshot

CONTEXT_LINES: Final = 3


def differences(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Each resource that comes (+), goes (-) or changes (~), with the lines of its JSON that do."""
    for type_name in after.resources:
        known = {item.name: item for item in before.of(type_name)}
        found = after.changes_since(before, type_name)
        for item in found.updated:
            yield from _changed(type_name, known.get(item.name), item)
        for name in found.removed:
            yield f"- {_title(type_name, name)}"


def _changed(type_name: str, before: Resource | None, after: Resource) -> Iterator[str]:
    if before is None:
        yield f"+ {_title(type_name, after.name)}"
        return
    yield f"~ {_title(type_name, after.name)}"
    if type_name != names.SECRET_TYPE:
        lines = unified_diff(_lines(before), _lines(after), n=CONTEXT_LINES, lineterm="")
        yield from (f"    {line}" for line in list(lines)[2:])


def _title(type_name: str, name: str) -> str:
    return f"{type_name.rpartition('.')[2]} {name}"


def _lines(resource: Resource) -> list[str]:
    return orjson.dumps(without_credentials(resource.body), option=orjson.OPT_INDENT_2).decode().splitlines()
