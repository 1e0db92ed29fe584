"""`pointsman keys new | list | revoke`: the file of clients that a gateway answers. A key is shown once, kept nowhere.

The file is replaced whole, by rename, so that a running gateway never reads half of one.
"""

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.schema.problems import ProblemsError
from gateway.tenancy.keys import HEADER, PREFIX, RANDOM_BYTES, Client, client, read
from pointsman.commands.command import Command, add_json

OWNER_ONLY: Final = 0o600
DEFAULT_FILE: Final = Path("keys.txt")
FAILED: Final = 1


class KeysError(ValueError):
    """What was asked cannot be done."""


def _add(parser: argparse.ArgumentParser) -> None:
    add_json(parser)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser("new", help="make a key, and print it once")
    new.add_argument("client", metavar="CLIENT")
    new.add_argument("--tenant", help="to which the client belongs (default: the client is one by itself)")
    listed = actions.add_parser("list", help="clients and their tenants")
    revoke = actions.add_parser("revoke", help="take a client's key away; a running gateway refuses it within a second")
    revoke.add_argument("client", metavar="CLIENT")
    for action in (new, listed, revoke):
        action.add_argument("--keys-file", type=Path, default=DEFAULT_FILE, metavar="FILE", help="(default: keys.txt)")
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def _run(given: argparse.Namespace) -> int:
    try:
        found = _ACTIONS[given.action](given)
    except KeysError as error:
        print(json.dumps({"problems": [str(error)]}) if given.json else f"pointsman keys: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(found) if given.json else "\n".join(_lines(found)))
    return 0


def _lines(found: Mapping[str, object] | Sequence[Mapping[str, str]]) -> Iterable[str]:
    """A key alone, so that a shell can take it; clients with their tenants."""
    if isinstance(found, Mapping):
        return (str(found.get("key") or f"{found['client']} is revoked"),)
    return (f"{each['client']}  {each['tenant']}" for each in found)


def _new(given: argparse.Namespace) -> Mapping[str, object]:
    path, name, tenant = given.keys_file, given.client, given.tenant or given.client
    clients = _clients(path) if path.exists() else []
    if any(each.name == name for each in clients):
        raise KeysError(f"client {name} has a key in {path}; revoke it first")
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    try:
        made = client(name, tenant, key)
    except ValueError as error:
        raise KeysError(str(error)) from None
    _write(path, (*clients, made))
    return {"client": name, "tenant": tenant, "key": key}


def _list(given: argparse.Namespace) -> Sequence[Mapping[str, str]]:
    clients = sorted(_clients(given.keys_file), key=lambda found: found.name)
    return [{"client": each.name, "tenant": each.tenant} for each in clients]


def _revoke(given: argparse.Namespace) -> Mapping[str, object]:
    path, clients = given.keys_file, _clients(given.keys_file)
    kept = [each for each in clients if each.name != given.client]
    if len(kept) == len(clients):
        raise KeysError(f"no client {given.client} in {path}")
    _write(path, kept)
    return {"client": given.client, "revoked": True}


def _clients(path: Path) -> list[Client]:
    try:
        return list(read(path.read_text(encoding="utf-8"), str(path)).by_digest.values())
    except OSError as error:
        raise KeysError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ProblemsError) as error:
        raise KeysError(str(error)) from None


def _write(path: Path, clients: Iterable[Client]) -> None:
    """Who may read the file stays as it was. Comments of a person do not: the file is the command's own."""
    mode = path.stat().st_mode & 0o777 if path.exists() else OWNER_ONLY
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    text = HEADER + "".join(each.line for each in clients)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)  # whatever the umask
        file.write(text)
    temporary.replace(path)


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace], Mapping[str, object] | Sequence[Mapping[str, str]]]]] = {
    "new": _new, "list": _list, "revoke": _revoke,
}  # fmt: skip
KEYS: Final = Command(
    "keys", "the keys of clients: new, list, revoke",
    "  pointsman keys new alice --tenant team-a\n  pointsman up --keys-file keys.txt\n  pointsman keys revoke alice\n",
    _add, _run,
)  # fmt: skip
