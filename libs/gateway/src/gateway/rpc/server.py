"""Serves gRPC by the transport of choice, with the same services, settings and certificate.

`nghttp2` is the fast one, on a young library; `grpcio` is gRPC's own for Python, and takes its place where that library
does not import. A further transport is one more context manager here.
"""

import importlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

from gateway.rpc.calls import Service
from gateway.rpc.limits import Settings
from gateway.rpc.tls import Credentials, server_context, server_credentials


class Transport(Enum):
    """What carries the calls."""

    NGHTTP2 = "nghttp2"
    GRPCIO = "grpcio"


class AddressError(OSError):
    """The address cannot be bound."""


def default_transport() -> Transport:
    """The fast one, where its library is installed for this machine."""
    try:
        importlib.import_module("gateway.rpc.engine")
    except ImportError:
        return Transport.GRPCIO
    return Transport.NGHTTP2


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve. Without credentials calls come in the clear."""

    credentials: Credentials | None = None
    transport: Transport = field(default_factory=default_transport)
    settings: Settings = field(default_factory=Settings)


@asynccontextmanager
async def serving(services: Sequence[Service], address: str, how: Serving | None = None) -> AsyncIterator[int]:
    """Serve on `host:port` or `unix:PATH` while the body runs; yields the port, which port 0 leaves to the system.

    At the end no further call is taken, and what still runs is cut after a moment, so drain first.
    """
    async with AsyncExitStack() as stack:
        try:
            port = await stack.enter_async_context(_open(services, address, how or Serving()))
        except OSError as error:
            raise AddressError(f"cannot listen on {address}: {error.strerror or error}") from None
        yield port


def _open(services: Sequence[Service], address: str, how: Serving) -> AbstractAsyncContextManager[int]:
    if how.transport is Transport.GRPCIO:
        from gateway.rpc import grpcio

        credentials = None if how.credentials is None else server_credentials(how.credentials)
        return grpcio.serving(services, address, credentials, how.settings)
    from gateway.rpc import listener

    context = None if how.credentials is None else server_context(how.credentials)
    return listener.serving(services, address, context, how.settings)
