"""A model server by its address, and what it answers about itself. Pure values.

The model list is vLLM's: an item with a `parent` is an adapter of that model, items without one are names of the base
model, whose weights `root` names.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

Family = Literal["IPv4", "IPv6", "FQDN"]


class InvalidBackendError(Exception):
    """An address or an answer that no pool can be made from; the message names both and the remedy."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a model server listens: by address or by name."""

    url: str  # scheme, host and port, as people write it
    host: str
    port: int
    is_tls: bool = False

    @property
    def family(self) -> Family:
        """What its host is, as an EndpointSlice says it."""
        try:
            return "IPv4" if ip_address(self.host).version == 4 else "IPv6"
        except ValueError:
            return "FQDN"


@dataclass(frozen=True, slots=True)
class Models:
    """What one server serves: the names of its base model, the weights behind them, and its adapters."""

    names: tuple[str, ...]
    root: str
    adapters: tuple[str, ...] = ()


def server_of(text: str) -> Server:
    """Read `http://host:port`; a path other than `/v1` is refused, since model servers are asked for `/v1/…`."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidBackendError(f"--backend {text}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidBackendError(f"--backend {text}: expected http://HOST:PORT or https://HOST:PORT")
    if parts.path.rstrip("/") not in ("", "/v1") or parts.query or parts.fragment or parts.username:
        raise InvalidBackendError(f"--backend {text}: give scheme, host and port only; requests go to /v1 there")
    is_tls = parts.scheme == "https"
    port = port or (443 if is_tls else 80)
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Server(f"{parts.scheme}://{name}:{port}", parts.hostname, port, is_tls)


def models_of(server: Server, body: bytes) -> Models:
    """Read the answer of `/v1/models`."""
    hint = f"{server.url}/v1/models answers with no model list; is this vLLM, or another server with OpenAI's API?"
    try:
        document = json.loads(body)
    except ValueError:
        raise InvalidBackendError(hint) from None
    data = document.get("data") if isinstance(document, Mapping) else None
    if not isinstance(data, list):
        raise InvalidBackendError(hint)
    items = [item for item in data if isinstance(item, Mapping) and isinstance(item.get("id"), str)]
    bases = [item for item in items if not item.get("parent")]
    if not bases:
        raise InvalidBackendError(f"{server.url}/v1/models lists no model: load one and try again")
    names = tuple(dict.fromkeys(str(item["id"]) for item in bases))
    roots = [str(item["root"]) for item in bases if isinstance(item.get("root"), str)]
    adapters = tuple(dict.fromkeys(str(item["id"]) for item in items if item.get("parent")))
    return Models(names, roots[0] if roots else names[0], adapters)
