"""What the bench runs: manifests and command lines. Pure, but for writing them down. Envoys are in `envoys`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import ClassVar, Final

import yaml

from epp.config.defaults import DEFAULT_TEXT

HOST: Final = "127.0.0.1"
ENDPOINTS: Final = 4
# Ways to pick: none, the body-based router and then the picker by ext_proc, both in one process by ext_proc, the picker
# by ext_proc as other gateways configure it (full duplex both ways, the endpoint's address out of a header), the picker
# over HTTP doing both (routes do not need the model), the picker over HTTP after Envoy itself has lifted the model
# (routes choose by it).
PLAIN, EXT_PROC, FUSED, DUPLEX = "plain", "ext_proc", "ext_proc fused", "duplex"
HTTP, HTTP_BY_MODEL = "http", "http+model"
GRPC_TRANSPORTS: Final = ("nghttp2", "grpcio")  # the first is the product's default
SECOND: Final = " grpcio"  # what the rows of the second transport are called
PEER: Final = "peer"  # another picker, which a command starts
DUPLEX_PEER: Final = f"{DUPLEX} {PEER}"
ROUTING: Final = "fused"  # a picker that is the router, too
PICKERS: Final = (*GRPC_TRANSPORTS, PEER, ROUTING)
ROWS: Final = (
    PLAIN, EXT_PROC, EXT_PROC + SECOND, FUSED, DUPLEX, DUPLEX + SECOND, DUPLEX_PEER, HTTP, HTTP_BY_MODEL,
)  # fmt: skip
CONCURRENCY: Final = "2"  # Envoy's worker threads: one per core of the reference host


def way_of(row: str) -> str:
    """How a row's Envoy picks."""
    return DUPLEX if row == DUPLEX_PEER else row.removesuffix(SECOND)


def picker_of(row: str) -> str:
    """Who picks: ours, named by what serves its gRPC or by its being the router, too, or the peer."""
    return {DUPLEX_PEER: PEER, FUSED: ROUTING}.get(row, GRPC_TRANSPORTS[row.endswith(SECOND)])


@dataclass(frozen=True, slots=True)
class ServicePorts:
    """Of a picker and a router."""

    epp_grpc: int
    epp_health: int
    epp_metrics: int
    epp_http: int
    bbr_grpc: int
    bbr_health: int
    bbr_metrics: int

    COUNT: ClassVar[int] = 7


@dataclass(frozen=True, slots=True)
class Ports:
    upstreams: tuple[int, ...]
    services: Mapping[str, ServicePorts]  # by picker
    gateways: Mapping[str, int]  # by row
    admins: Mapping[str, int]

    COUNT: ClassVar[int] = ENDPOINTS + len(PICKERS) * ServicePorts.COUNT + 2 * len(ROWS)

    @classmethod
    def spread(cls, free: tuple[int, ...], endpoints: int = ENDPOINTS) -> "Ports":
        """Name free ports, at most `ENDPOINTS` of them as upstreams."""
        left = iter(free)
        upstreams = tuple(islice(left, endpoints))
        services = {name: ServicePorts(*islice(left, ServicePorts.COUNT)) for name in PICKERS}
        return cls(upstreams, services, dict(zip(ROWS, left, strict=False)), dict(zip(ROWS, left, strict=False)))


@dataclass(frozen=True, slots=True)
class RouteFields:
    """What a route has beside its match and its pool."""

    annotations: Mapping[str, str] = field(default_factory=dict)
    rule: Mapping[str, object] = field(default_factory=dict)


def manifests(ports: Ports, picker: str, route: RouteFields, *, by_model: bool) -> str:
    """A gateway with one pool; FailClose, so that a request without a pick is an error. `route` are further fields of
    its route's."""
    slices: list[object] = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"bench-{port}", "namespace": "default", "labels": {"app": "bench"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST], "targetRef": {"kind": "Pod", "name": f"bench-{number}"}}],
            "ports": [{"name": "http", "port": port}],
        }
        for number, port in enumerate(ports.upstreams)
    ]
    return yaml.safe_dump_all(
        [*_gateway(route, by_model=by_model), *_picker(ports.services[picker].epp_grpc), *slices], sort_keys=False
    )


def _gateway(further: RouteFields, *, by_model: bool) -> list[object]:
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "bench"}
    pool = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "bench"}
    header = {"type": "Exact", "name": "X-Gateway-Base-Model-Name", "value": "bench"}
    match = {"path": {"type": "PathPrefix", "value": "/v1"}, **({"headers": [header]} if by_model else {})}
    rule = {"matches": [match], "backendRefs": [pool], **further.rule}
    return [
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "bench", "namespace": "default"},
            "spec": {
                "gatewayClassName": "pointsman",
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "bench", "namespace": "default", "annotations": dict(further.annotations)},
            "spec": {"parentRefs": [parent], "rules": [rule]},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "bench",
                "namespace": "default",
                "labels": {"inference.networking.k8s.io/bbr-managed": "true"},
            },
            "data": {"baseModel": "bench"},
        },
    ]


def _picker(grpc_port: int) -> list[object]:
    reference = {"name": "epp", "port": {"number": grpc_port}, "failureMode": "FailClose"}
    return [
        {
            "apiVersion": "inference.networking.k8s.io/v1",
            "kind": "InferencePool",
            "metadata": {"name": "bench", "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": "bench"}},
                "targetPorts": [{"number": 8000}],
                "endpointPickerRef": reference,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "epp", "namespace": "default"},
            "spec": {"ports": [{"name": "grpc", "port": grpc_port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "epp",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "epp"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST]}],
            "ports": [{"name": "grpc", "port": grpc_port}],
        },
    ]


@dataclass(frozen=True, slots=True)
class Commands:
    """Command lines of one run."""

    ports: Ports
    folder: Path
    binaries: Path
    envoy_binary: Path
    python: str
    usage_extraction: bool
    upstreams: str = "tests.bench.gateway.upstream"  # the module that serves them
    route: RouteFields = RouteFields()
    rendering: tuple[str, ...] = ()  # further options of the control plane
    scrape_interval: str | None = None  # a fixed one of the picker's

    def manifests(self, picker: str) -> Path:
        """What the services read: the routes are the control plane's affair alone."""
        return self.folder / "manifests" / picker / "by-model"

    def write_manifests(self) -> None:
        """Both sets: routes that choose by model, and one that does not; with each picker."""
        for picker in PICKERS:
            for name, by_model in (("by-model", True), ("one-route", False)):
                target = self.folder / "manifests" / picker / name
                target.mkdir(parents=True, exist_ok=True)
                (target / "bench.yaml").write_text(manifests(self.ports, picker, self.route, by_model=by_model))

    def upstream(self) -> list[str]:
        return [self.python, "-m", self.upstreams, *map(str, self.ports.upstreams)]

    def epp(self, picker: str) -> list[str]:
        ports, configuration = self.ports.services[picker], []
        if self.scrape_interval is not None:
            parameters = f"{{interval: {self.scrape_interval}}}"
            source = f"plugins:\n- {{type: metrics-data-source, parameters: {parameters}}}\n"
            configuration = ["--config-text", DEFAULT_TEXT.replace("plugins:\n", source, 1)]
        return [
            str(self.binaries / "epp"), "run", "--config-dir", str(self.manifests(picker)), "--host", HOST,
            "--grpc-port", str(ports.epp_grpc), "--grpc-health-port", str(ports.epp_health),
            "--metrics-port", str(ports.epp_metrics), "--http-port", str(ports.epp_http),
            "--log-level", "warning", "--secure-serving=false", *configuration,
            *(["--fused"] if picker == ROUTING else ["--grpc-transport", picker]),
        ]  # fmt: skip

    def bbr(self, transport: str) -> list[str]:
        ports = self.ports.services[transport]
        return [
            str(self.binaries / "bbr"), "run", "--config-dir", str(self.manifests(transport)), "--host", HOST,
            "--grpc-port", str(ports.bbr_grpc), "--grpc-health-port", str(ports.bbr_health),
            "--metrics-port", str(ports.bbr_metrics), "--log-level", "warning", "--secure-serving=false",
            "--grpc-transport", transport,
        ]  # fmt: skip

    def render(self, row: str) -> list[str]:
        """The control plane writes the row's files."""
        way, picker = way_of(row), picker_of(row)
        ports = self.ports.services[picker]
        router = ports.epp_grpc if picker == ROUTING else ports.bbr_grpc
        return [
            str(self.binaries / "controlplane"), "render", "--config-dir",
            str(self.folder / "manifests" / picker / ("one-route" if way == HTTP else "by-model")),
            "--output-dir", str(self.folder / row), "--listen-address", HOST,
            "--port-map", f"80={self.ports.gateways[row]}", "--bbr-address", f"{HOST}:{router}",
            *(["--fused"] if picker == ROUTING else []),
            "--picker", "ext_proc" if way in (EXT_PROC, FUSED) else "http", "--picker-http-port", str(ports.epp_http),
            "--usage-extraction", "on" if self.usage_extraction else "off", *self.rendering,
        ]  # fmt: skip

    def envoy(self, row: str) -> list[str]:
        return [
            str(self.envoy_binary), "-c", str(self.folder / row / "bootstrap.json"), "--disable-hot-restart",
            "--concurrency", CONCURRENCY, "--log-level", "warning",
        ]  # fmt: skip
