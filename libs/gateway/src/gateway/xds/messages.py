"""What a proxy and a control plane say to each other in xDS, in either of its dialects. Plain values.

In the state-of-the-world dialect a request names all resources that are wanted; in the incremental one (delta) it names
those that are wanted from now on and no longer. Types are type URLs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

NO_VERSIONS: Final[Mapping[str, str]] = MappingProxyType({})
EVERYTHING: Final = "*"  # the name by which all resources of a type are wanted


class Dialect(StrEnum):
    STATE = "state of the world"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as it travels. `content` is a serialised `Any`; two of one name and version are the same."""

    name: str
    version: str
    content: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """A subscription, and the answer to the response that bears `nonce`: taken, or with `error` refused.

    `node` is the proxy, `cluster` the group of proxies that it is one of; the first request of a stream has both.
    `names` are all that are wanted (state of the world), or wanted from now on (delta). `versions` is what a proxy that
    connects anew already has (delta).
    """

    type_name: str
    node: str = ""
    nonce: str = ""
    error: str = ""
    names: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=lambda: NO_VERSIONS)
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """Resources of one type; in the delta dialect also the names of those that are gone."""

    type_name: str
    version: str
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()
