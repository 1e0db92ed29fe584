"""A client for Redis as people run it: alone, behind Sentinel, or a Cluster; in the clear or in TLS; by redis-py.

    redis://USER@HOST:6379/0                              one server
    redis+sentinel://USER@HOST:26379,HOST:26379/NAME/0    the master of that name, found anew after a failover
    redis+cluster://USER@HOST:6379,HOST:6379              any nodes of a cluster

With `rediss` in the place of `redis` it is TLS; redis-py's options (`?ssl_ca_certs=FILE`, …) may follow. Nothing is
tried again in here: who calls knows when.
"""

import asyncio
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from epp.sharing.redis_address import Address, Password

CALL_SECONDS: Final = 2.0
# Each pool takes two at a time.
CONNECTIONS_LIMIT: Final = 4096
FAILURES: Final = (exceptions.RedisError, OSError, TimeoutError)
_PORTS: Final = {"sentinel": 26379, "cluster": 6379}

Client = Redis | RedisCluster


class RedisAddressError(ValueError):
    """A URL that names no Redis; the text says what is wrong, without the password."""


def read_address(url: str) -> Address:
    """A URL as above; raises RedisAddressError."""
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if base not in ("redis", "rediss", "unix") or kind not in ("", *_PORTS) or not rest or (base == "unix" and kind):
        expected = "redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        raise RedisAddressError(f"expected a URL that begins with {expected}, got one with {scheme!r}")
    try:
        if not kind:
            return Address("single", (), options=dict(parse_url(url)))
        return _read_several(url, base, kind)
    except ValueError as error:
        raise RedisAddressError(str(error)) from None


def _read_several(url: str, base: str, kind: str) -> Address:
    parts = urlsplit(url)
    user, _, listed = parts.netloc.rpartition("@")
    hosts = tuple(_host(each, _PORTS[kind]) for each in listed.split(","))
    path = [unquote(each) for each in parts.path.split("/") if each]
    service = path.pop(0) if kind == "sentinel" and path else ""
    if kind == "sentinel" and not service:
        raise RedisAddressError("the name of the master is missing: redis+sentinel://HOST:26379/NAME")
    database = f"/{path[0]}" if path else ""
    options = parse_url(f"{base}://{user}{'@' if user else ''}host{database}?{parts.query}")
    options.pop("host", None)
    return Address(kind, hosts, service, dict(options))


def _host(written: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{written}")
    if not parts.hostname:
        raise RedisAddressError(f"expected HOST:PORT, got {written!r}")
    return parts.hostname, parts.port or port


def connect(address: Address, password: Password | None = None, seconds: float = CALL_SECONDS) -> Client:
    """A client whose calls fail after so many seconds. A password in the URL comes first; else `password` is asked at
    each connection."""
    options: dict[str, Any] = {
        **address.options,
        "protocol": 2,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": CONNECTIONS_LIMIT,
    }
    if password is not None and not options.get("password"):
        options["credential_provider"] = _Credentials(options.pop("username", None), password)
        options.pop("password", None)
    if address.kind == "single":
        return _single(options)
    is_tls = options.pop("connection_class", None) is SSLConnection
    if address.kind == "sentinel":
        return _behind_sentinel(address, options, is_tls=is_tls)
    nodes = [ClusterNode(host, port) for host, port in address.hosts]
    return RedisCluster(startup_nodes=nodes, ssl=is_tls, **options)


def _single(options: dict[str, Any]) -> Redis:
    return Redis.from_pool(ConnectionPool(**options))


def _behind_sentinel(address: Address, options: dict[str, Any], *, is_tls: bool) -> Redis:
    own = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "protocol")}
    own |= {"ssl": is_tls, **{name: value for name, value in options.items() if name.startswith("ssl_")}}
    sentinel = Sentinel(address.hosts, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    found: Redis = sentinel.master_for(address.service, ssl=is_tls, **options)
    return found


async def close(client: Client) -> None:
    """Close a client's connections, those to sentinels among them."""
    await client.aclose()
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def is_cancelled() -> bool:
    """Whether this task was asked to end. The Redis client can lose a cancellation that meets an answer coming in, so
    a loop around it must look."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def raise_if_cancelled() -> None:
    """End here where this task was asked to end, and the client has lost it."""
    if is_cancelled():
        raise asyncio.CancelledError


class _Credentials(CredentialProvider):
    """The user of the URL, with a password that may change while the process runs."""

    def __init__(self, user: str | None, password: Password) -> None:
        self._user = user
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._password() or ""
        return (self._user, password) if self._user else (password,)
