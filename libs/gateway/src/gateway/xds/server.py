"""The gRPC server of ADS, Envoy's aggregated discovery service, in both dialects. It knows grpc.aio and no resources.

One RPC is one session. Requests go in as they come; whenever something may have changed, what is due goes out, one
response after the other, so that a slow proxy gets the latest state and no queue of older ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gateway.service import logs
from gateway.xds.codec import Codec
from gateway.xds.messages import Dialect, Request, Response

log = logs.get(__name__)

ADS_SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHODS: Final = {"StreamAggregatedResources": Dialect.STATE, "DeltaAggregatedResources": Dialect.DELTA}
# A proxy whose host vanished must not be counted as one that has not answered yet: half a minute, as for ext_proc.
KEEPALIVE_MS: Final = 10_000
KEEPALIVE_TIMEOUT_MS: Final = 20_000
SERVER_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # with it, a leftover process would silently take half of the proxies
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
)


class Session(Protocol):
    """One proxy's stream, as its owner keeps it."""

    def receive(self, request: Request, /) -> None:
        """Take a request."""

    def due(self) -> Response | None:
        """The next response to send, which then counts as sent."""

    def close(self) -> None:
        """The stream is over."""


Wake = Callable[[], None]  # to be called when something may be due
Open = Callable[[Dialect, Wake], Session]


class AggregatedDiscovery:
    """The servicer."""

    def __init__(self, open_session: Open, codec: Codec) -> None:
        self._open = open_session
        self._codec = codec

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register under Envoy's service name; messages stay bytes, the codec works on them."""
        handlers = {
            name: grpc.stream_stream_rpc_method_handler(partial(self._stream, dialect))
            for name, dialect in METHODS.items()
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(ADS_SERVICE, handlers)])

    async def _stream(self, dialect: Dialect, _messages: object, context: Any) -> None:
        news = asyncio.Event()
        session = self._open(dialect, news.set)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(dialect, session, news, context))
                await self._read(dialect, session, news, context)
                writer.cancel()
        finally:
            session.close()

    async def _read(self, dialect: Dialect, session: Session, news: asyncio.Event, context: Any) -> None:
        while (message := await context.read()) is not grpc.aio.EOF:
            try:
                request = self._codec.decode(dialect, message)
            except DecodeError:
                log.warning("a proxy sent something that is no discovery request")
                return
            session.receive(request)
            news.set()

    async def _write(self, dialect: Dialect, session: Session, news: asyncio.Event, context: Any) -> None:
        while await news.wait():
            news.clear()
            while (response := session.due()) is not None:
                await context.write(self._codec.encode(dialect, response))


class AddressError(OSError):
    """The address cannot be listened on."""


@asynccontextmanager
async def serving(servicer: AggregatedDiscovery, address: str, certificates: Path | None = None) -> AsyncIterator[int]:
    """Serve while the body runs; yields the port. With certificates a proxy must show one of their authority's."""
    server = grpc.aio.server(options=SERVER_OPTIONS)
    servicer.add_to(server)
    try:
        if certificates is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, _mutual_tls(certificates))
    except RuntimeError as error:
        raise AddressError(f"cannot listen on {address}: {error}") from None
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def _mutual_tls(folder: Path) -> grpc.ServerCredentials:
    """`tls.crt` and `tls.key` are shown, proxies are verified by `ca.crt`. Read anew for each connection."""

    def configuration() -> grpc.ServerCertificateConfiguration:
        chain, key, authority = ((folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authority)

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=True)
