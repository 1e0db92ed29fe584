"""What the operator chose on the command line. Defaults live here, each with its unit and reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.kube.objects import ObjectName
from gateway.wire import ports, protocol


def is_loopback(address: str) -> bool:
    """Whether only this host can connect to an address."""
    return address == "localhost" or address.startswith("127.") or address == "::1"


class PickerTransport(StrEnum):
    """How Envoy asks the endpoint picker. AUTO takes HTTP wherever a route needs nothing that only ext_proc can do."""

    EXT_PROC = "ext_proc"
    HTTP = "http"
    AUTO = "auto"


class PickerBody(StrEnum):
    """How Envoy hands the body of a request to a picker over ext_proc. FULL_DUPLEX is the Endpoint Picker Protocol's.
    BUFFERED bounds a silent picker's time and lets every request pass without it, but needs one that answers headers
    before it has the body. STREAMED is for one that answers chunks without echoing them."""

    BUFFERED = "buffered"
    STREAMED = "streamed"
    FULL_DUPLEX = "full-duplex"


class Delivery(StrEnum):
    """How Envoy gets its configuration."""

    FILES = "files"
    GRPC = "grpc"


SERVICE_TYPES: Final = ("ClusterIP", "LoadBalancer", "NodePort")


@dataclass(frozen=True, slots=True)
class Deployment:
    """How Envoys are deployed for each Gateway, as far as a Gateway's parameters do not say otherwise."""

    image: str
    control_plane: ObjectName
    """The Service at which Envoys ask, at `port`."""

    port: int
    pull_policy: str = "IfNotPresent"
    service_type: str = "LoadBalancer"
    replicas: int = 1
    drain_seconds: int = 60
    """For answers in flight when a Pod stops."""

    log_level: str = "warning"


@dataclass(frozen=True, slots=True)
class Options:
    xds: Delivery = Delivery.FILES
    xds_dir: str = "/xds"
    """Where Envoy sees the rendered files; inside a container not always where they are written."""

    listen_address: str = "0.0.0.0"
    addresses: tuple[str, ...] = ()
    """Under which clients reach the Gateways, for their status; empty: the listen address, if it is one."""

    port_map: Mapping[int, int] = field(default_factory=dict)
    """Gateway listener port to the port that Envoy binds: a port below 1024 may need root or be taken."""

    bbr: tuple[str, int] | None = ("127.0.0.1", ports.BBR_GRPC)
    """Host and port of the body-based router; None renders none."""

    bbr_workers: int = 1
    """Processes of the router on its host, at ports by `gateway.wire.ports.worker_port`."""

    router_authenticates: bool = False
    """Whether the router has a keys file: every request is asked about there."""

    fused: bool = False
    """Whether the router and every picker are one process, which keeps a body from one question to the other."""

    usage_extraction: bool = True
    """Whether Envoy reads token usage from answers."""

    access_log: str = ""
    """File to which Envoy writes a line of JSON for each request, /dev/stdout among them; empty: none."""

    body_limit: int = protocol.DEFAULT_BODY_LIMIT_BYTES
    """Bytes of a request body. A JSON answer that is surely no larger is read for usage, others pass unread."""

    http10: bool | None = None
    """Whether requests of HTTP/1.0 are served, as nginx sends them by default; None: where only this host connects."""

    client_explanations: bool = False
    """Whether clients may ask a picker why it chose (`x-pointsman-explain`): the answer tells of the fleet."""

    upload_timeout: float = 60.0
    """Seconds in which a request must have arrived whole; 16 MiB take as long at 2 Mbit/s."""

    stream_idle_timeout: float = 900.0
    """Seconds without a byte in either direction. A non-streamed answer is silent until it is whole."""

    picker: PickerTransport = PickerTransport.EXT_PROC
    picker_body: PickerBody = PickerBody.BUFFERED
    """The body mode of pools that name none."""

    picker_tls: bool = False
    """Whether a picker that no DestinationRule is for is reached by TLS, without verifying its certificate."""

    default_picker: tuple[ObjectName, int] | None = None
    """Service and port of the picker of pools that name none; None: Envoy balances them."""

    picker_http_port: int = ports.EPP_HTTP
    """Port of the picker's HTTP transport, on the hosts of its Service, where the pool does not name one."""

    picker_workers: int = 1
    """Processes of each picker on each of its hosts, at ports by the same rule, where the pool does not say it."""

    picker_timeout: float = 2.0
    """Seconds until a silent picker counts as failed; then the pool's failure mode decides."""

    picker_max_timeout: float = 60.0
    """Seconds to which a picker may extend its time over ext_proc while a request waits in its queue."""

    picker_http_wait: float = 10.0
    """Seconds that a request may wait in the queue of a picker over HTTP: ext_authz's timeout cannot be extended, so a
    picker that hangs costs them, too."""

    pickers_share_state: bool = False
    """Whether the replicas of each picker share a Redis, without which several of them are not asked over HTTP."""

    tracing_collector: tuple[str, int] | None = None
    """Host and port where Envoy sends traces by OTLP over gRPC; None: Envoy traces nothing."""

    tracing_sampling: float = 10.0
    """Percent of the requests without a parent that are traced."""

    quotas: tuple[str, int] | None = None
    """Host and port of the service that counts quotas; None: they are not enforced."""

    quotas_fail_closed: bool = False
    """Whether requests are refused while that service, or what it counts in, cannot be reached."""

    quota_token: str | None = field(default=None, repr=False)
    """What Envoy brings so that the service knows its calls; None: nothing."""

    by_class: bool = False
    """Whether only Gateways are served whose GatewayClass names this controller, as in a cluster with several."""

    deployment: Deployment | None = None
    """How Envoys are deployed for each Gateway; None: those that are there serve every Gateway."""

    handled_elsewhere: frozenset[str] = frozenset()
    """Kinds of policies that something else in front of this gateway or behind it enforces."""

    @property
    def serves_http10(self) -> bool:
        """Whether requests of HTTP/1.0 are served."""
        return is_loopback(self.listen_address) if self.http10 is None else self.http10

    @property
    def picker_http_timeout(self) -> float:
        """Seconds that Envoy gives a picker over HTTP for its answer."""
        return self.picker_timeout + self.picker_http_wait

    @property
    def served_at(self) -> tuple[str, ...]:
        """Addresses of every Gateway that is served."""
        is_every = self.listen_address in ("0.0.0.0", "::")
        return self.addresses or (() if is_every else (self.listen_address,))

    @property
    def services(self) -> tuple[ObjectName, ...]:
        """Services whose addresses are wanted although no object may name them."""
        return (self.default_picker[0],) if self.default_picker is not None else ()

    def bound_port(self, port: int) -> int:
        return self.port_map.get(port, port)
