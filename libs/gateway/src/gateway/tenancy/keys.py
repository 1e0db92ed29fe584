"""A keys file: which clients there are, by the hashes of their keys. Pure. No key and no hash is part of any message.

    # client  tenant  hash of the key
    alice     team-a  sha256:9f86d0…

A key has 256 random bits, so a plain hash of it cannot be guessed from, and looking one up takes as long whatever the
key. A line that cannot be read refuses the file: half of it would shut out clients without a word.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from gateway.schema.problems import Place, Problem, ProblemsError
from gateway.schema.spelling import CLIENT_NAME as NAME

PREFIX: Final = "pm-"  # so that scanners for leaked keys can know one
RANDOM_BYTES: Final = 32
MOST_KEYS: Final = 100_000  # 30 MB; more belong into a directory of users
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
HEADER: Final = "# client  tenant  hash of the key\n"


@dataclass(frozen=True, slots=True)
class Client:
    """One line: a client, and the tenant that it belongs to."""

    name: str
    tenant: str
    digest: str = field(repr=False)

    @property
    def line(self) -> str:
        """As the file has it."""
        return f"{self.name}  {self.tenant}  sha256:{self.digest}\n"


@dataclass(frozen=True, slots=True)
class Keys:
    """The clients of a file, each name and each key once."""

    by_digest: Mapping[str, Client] = field(default_factory=dict, repr=False)

    def owner(self, key: str) -> Client | None:
        """Whose key it is."""
        return self.by_digest.get(digest(key))


def digest(key: str) -> str:
    """What the file has of a key. Header values are Latin-1."""
    return hashlib.sha256(key.encode("latin-1", "replace")).hexdigest()


def client(name: str, tenant: str, key: str) -> Client:
    """A new line. Raises ValueError for a name that cannot stand there."""
    for what, text in (("client", name), ("tenant", tenant)):
        if not NAME.fullmatch(text):
            raise ValueError(f"not a name for a {what}: {text!r}; letters, digits, '.', '_', '@' and '-' make one")
    return Client(name, tenant, digest(key))


def read(text: str, source: str) -> Keys:
    """The keys of a file. Raises ProblemsError, with every line that is wrong."""
    clients: list[Client] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        found = _client(words)
        if isinstance(found, Client):
            clients.append(found)
        else:
            problems.append(Problem(Place(source, number), "", found))
    problems += [Problem(Place(source), "", message) for message in _repeated(clients)]
    if len(clients) > MOST_KEYS:
        problems.append(Problem(Place(source), "", f"expected at most {MOST_KEYS} keys, got {len(clients)}"))
    if problems:
        raise ProblemsError(problems)
    return Keys(MappingProxyType({each.digest: each for each in clients}))


def _client(words: list[str]) -> Client | str:
    if len(words) != 3:
        return f"expected a client, a tenant and a hash, got {len(words)} words"
    name, tenant, hashed = words
    strange = next((text for text in (name, tenant) if not NAME.fullmatch(text)), None)
    if strange is not None:
        return f"not a name: {strange!r}"
    found = _HASH.fullmatch(hashed)
    if found is None:
        return f"client {name}: expected sha256: and 64 hexadecimal digits as the hash"
    return Client(name, tenant, found[1])


def _repeated(clients: Iterable[Client]) -> Iterable[str]:
    names: set[str] = set()
    owners: dict[str, str] = {}
    for each in clients:
        if each.name in names:
            yield f"client {each.name} is there twice"
        names.add(each.name)
        owner = owners.setdefault(each.digest, each.name)
        if owner != each.name:
            yield f"clients {owner} and {each.name} have the same key"
