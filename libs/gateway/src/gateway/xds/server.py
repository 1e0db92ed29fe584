"""The gRPC server of ADS, Envoy's aggregated discovery service, in both dialects. It knows grpc.aio and no resources.

One RPC is one session. Requests go in as they come; whenever something may have changed, what is due goes out, one
response after the other, so that a slow proxy gets the latest state and no queue of older ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from gateway.rpc import grpcio, tls
from gateway.rpc.limits import Settings
from gateway.service import logs
from gateway.xds.codec import Codec
from gateway.xds.messages import Dialect, Request, Response

log = logs.get(__name__)

ADS_SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHODS: Final = {"StreamAggregatedResources": Dialect.STATE, "DeltaAggregatedResources": Dialect.DELTA}


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
Authorization = Callable[[Request, Sequence[str]], bool]  # a first request, and the names of its certificate

_CERTIFICATE_NAMES: Final = "x509_subject_alternative_name"


def anyone(_request: Request, _names: Sequence[str]) -> bool:
    """Whoever can connect."""
    return True


class AggregatedDiscovery:
    """The servicer. `is_authorized` judges a stream by its first request."""

    def __init__(self, open_session: Open, codec: Codec, is_authorized: Authorization = anyone) -> None:
        self._open = open_session
        self._codec = codec
        self._is_authorized = is_authorized

    @property
    def handler(self) -> grpc.GenericRpcHandler:
        """Under Envoy's service name; messages stay bytes, the codec works on them."""
        handlers = {
            name: grpc.stream_stream_rpc_method_handler(partial(self._stream, dialect))
            for name, dialect in METHODS.items()
        }
        return grpc.method_handlers_generic_handler(ADS_SERVICE, handlers)

    async def _stream(self, dialect: Dialect, _messages: object, context: Any) -> None:
        news = asyncio.Event()
        session = self._open(dialect, news.set)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(dialect, session, news, context))
                is_let = await self._read(dialect, session, news, context)
                writer.cancel()
        finally:
            session.close()
        if not is_let:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "the certificate is not for this cluster")

    async def _read(self, dialect: Dialect, session: Session, news: asyncio.Event, context: Any) -> bool:
        """Until the proxy ends its stream; false for one that is not authorized."""
        is_first = True
        while (message := await context.read()) is not grpc.aio.EOF:
            try:
                request = self._codec.decode(dialect, message)
            except DecodeError:
                log.warning("a proxy sent something that is no discovery request")
                return True
            if is_first and not self._is_authorized(request, _certified(context)):
                log.warning("a proxy may not ask for this", node=request.node, cluster=request.cluster)
                return False
            is_first = False
            session.receive(request)
            news.set()
        return True

    async def _write(self, dialect: Dialect, session: Session, news: asyncio.Event, context: Any) -> None:
        while await news.wait():
            news.clear()
            while (response := session.due()) is not None:
                await context.write(self._codec.encode(dialect, response))


def _certified(context: Any) -> list[str]:
    """The names of the certificate that a proxy showed."""
    return [name.decode() for name in context.auth_context().get(_CERTIFICATE_NAMES, ())]


class AddressError(OSError):
    """The address cannot be listened on."""


@asynccontextmanager
async def serving(
    servicer: AggregatedDiscovery, address: str, certificates: Path | tls.Credentials | None = None
) -> AsyncIterator[int]:
    """Serve while the body runs; yields the port. With certificates, of a folder or in memory, a proxy must show one of
    their authority's.

    A proxy whose host vanished is not counted as one that has not answered yet: it is pinged, as on the ext_proc port.
    """
    credentials = None if certificates is None else _mutual_tls(certificates)
    async with AsyncExitStack() as stack:
        options = grpcio.keepalive_options(Settings())
        try:
            port = await stack.enter_async_context(grpcio.listening([servicer.handler], address, credentials, options))
        except OSError as error:
            raise AddressError(f"cannot listen on {address}: {error}") from None
        yield port


def _mutual_tls(certificates: Path | tls.Credentials) -> grpc.ServerCredentials:
    """Of a folder, `tls.crt` and `tls.key` are shown and proxies are verified by `ca.crt`, read for each connection."""
    if isinstance(certificates, tls.Credentials):
        return tls.server_credentials(certificates)
    folder = certificates

    def configuration() -> grpc.ServerCertificateConfiguration:
        chain, key, authority = ((folder / name).read_bytes() for name in ("tls.crt", "tls.key", "ca.crt"))
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=authority)

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=True)
