"""What the bench runs: manifests, Envoy configurations and command lines. Pure, but for writing them down.

Each row is an Envoy of its own, so that each can have exactly the configuration of its way: the plain one a static file
of a few lines, the others what the control plane renders from the same manifests.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from epp.config.defaults import DEFAULT_TEXT

HOST: Final = "127.0.0.1"
ENDPOINTS: Final = 4
# Ways to pick: none, the body-based router and then the picker by ext_proc, the picker over HTTP doing both (routes do
# not need the model), the picker over HTTP after Envoy itself has lifted the model (routes choose by it).
PLAIN, EXT_PROC, HTTP, HTTP_BY_MODEL = "plain", "ext_proc", "http", "http+model"
ROWS: Final = (PLAIN, EXT_PROC, HTTP, HTTP_BY_MODEL)
CONCURRENCY: Final = "2"  # Envoy's worker threads: one per core of the reference host


@dataclass(frozen=True, slots=True)
class Ports:
    upstreams: tuple[int, ...]
    epp_grpc: int
    epp_health: int
    epp_metrics: int
    epp_http: int
    bbr_grpc: int
    bbr_health: int
    bbr_metrics: int
    gateways: Mapping[str, int]  # by row
    admins: Mapping[str, int]

    @classmethod
    def spread(cls, free: tuple[int, ...]) -> "Ports":
        """Name free ports."""
        upstreams, (grpc, health, metrics, http, *rest) = free[:ENDPOINTS], free[ENDPOINTS:]
        bbr_grpc, bbr_health, bbr_metrics, *own = rest
        gateways, admins = dict(zip(ROWS, own, strict=False)), dict(zip(ROWS, own[len(ROWS) :], strict=True))
        return cls(upstreams, grpc, health, metrics, http, bbr_grpc, bbr_health, bbr_metrics, gateways, admins)

    COUNT = ENDPOINTS + 7 + 2 * len(ROWS)


def manifests(ports: Ports, *, by_model: bool) -> str:
    """A gateway with one pool of four endpoints; FailClose, so that a request without a pick is an error."""
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
    return yaml.safe_dump_all([*_gateway(by_model=by_model), *_picker(ports), *slices], sort_keys=False)


def _gateway(*, by_model: bool) -> list[object]:
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "bench"}
    pool = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "bench"}
    header = {"type": "Exact", "name": "X-Gateway-Base-Model-Name", "value": "bench"}
    match = {"path": {"type": "PathPrefix", "value": "/v1"}, **({"headers": [header]} if by_model else {})}
    rule = {"matches": [match], "backendRefs": [pool]}
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
            "metadata": {"name": "bench", "namespace": "default"},
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


def _picker(ports: Ports) -> list[object]:
    reference = {"name": "epp", "port": {"number": ports.epp_grpc}, "failureMode": "FailClose"}
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
            "spec": {"ports": [{"name": "grpc", "port": ports.epp_grpc}]},
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
            "ports": [{"name": "grpc", "port": ports.epp_grpc}],
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

    @property
    def manifests(self) -> Path:
        """What the services read: the routes are the control plane's affair alone."""
        return self.folder / "manifests" / "by-model"

    def write_manifests(self) -> None:
        """Both sets: routes that choose by model, and one that does not."""
        for name, by_model in (("by-model", True), ("one-route", False)):
            target = self.folder / "manifests" / name
            target.mkdir(parents=True, exist_ok=True)
            (target / "bench.yaml").write_text(manifests(self.ports, by_model=by_model))

    def upstream(self) -> list[str]:
        return [self.python, "-m", "tests.bench.gateway.upstream", *map(str, self.ports.upstreams)]

    def epp(self) -> list[str]:
        return [
            str(self.binaries / "epp"), "run", "--config-dir", str(self.manifests), "--host", HOST,
            "--grpc-port", str(self.ports.epp_grpc), "--grpc-health-port", str(self.ports.epp_health),
            "--metrics-port", str(self.ports.epp_metrics), "--http-port", str(self.ports.epp_http),
            "--log-level", "warning", "--secure-serving=false",
        ]  # fmt: skip

    def epp_scraping(self, interval: str) -> list[str]:
        """The EPP with a fixed scrape interval."""
        source = f"plugins:\n- {{type: metrics-data-source, parameters: {{interval: {interval}}}}}\n"
        return [*self.epp(), "--config-text", DEFAULT_TEXT.replace("plugins:\n", source, 1)]

    def bbr(self) -> list[str]:
        return [
            str(self.binaries / "bbr"), "run", "--config-dir", str(self.manifests), "--host", HOST,
            "--grpc-port", str(self.ports.bbr_grpc), "--grpc-health-port", str(self.ports.bbr_health),
            "--metrics-port", str(self.ports.bbr_metrics), "--log-level", "warning", "--secure-serving=false",
        ]  # fmt: skip

    def render(self, row: str) -> list[str]:
        """The control plane writes the row's files."""
        return [
            str(self.binaries / "controlplane"), "render", "--config-dir",
            str(self.folder / "manifests" / ("one-route" if row == HTTP else "by-model")),
            "--output-dir", str(self.folder / row), "--listen-address", HOST,
            "--port-map", f"80={self.ports.gateways[row]}", "--bbr-address", f"{HOST}:{self.ports.bbr_grpc}",
            "--picker", "ext_proc" if row == EXT_PROC else "http", "--picker-http-port", str(self.ports.epp_http),
            "--usage-extraction", "on" if self.usage_extraction else "off",
        ]  # fmt: skip

    def envoy(self, row: str) -> list[str]:
        return [
            str(self.envoy_binary), "-c", str(self.folder / row / "bootstrap.json"), "--disable-hot-restart",
            "--concurrency", CONCURRENCY, "--log-level", "warning",
        ]  # fmt: skip


def bootstrap(row: str, ports: Ports, folder: Path) -> str:
    """How a row's Envoy starts."""
    address = {"socket_address": {"address": HOST, "port_value": ports.admins[row]}}
    start: dict[str, object] = {"admin": {"address": address}, "node": {"id": row, "cluster": "bench"}}
    if row == PLAIN:
        start["static_resources"] = {"listeners": [_plain_listener(ports)], "clusters": [_plain_cluster(ports)]}
    else:
        files = {f"{kind}_config": {"path_config_source": {"path": str(folder / row / f"{kind}.json")}}
                 for kind in ("lds", "cds")}  # fmt: skip
        start["dynamic_resources"] = {name: {**source, "resource_api_version": "V3"} for name, source in files.items()}
    return json.dumps(start)


def _typed(name: str, **fields: object) -> dict[str, object]:
    return {"@type": f"type.googleapis.com/{name}", **fields}


def _plain_listener(ports: Ports) -> object:
    router = _typed("envoy.extensions.filters.http.router.v3.Router")
    hosts = [{"name": "*", "domains": ["*"],
              "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "bench", "timeout": "0s"}}]}]  # fmt: skip
    manager = _typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="plain",
        route_config={"virtual_hosts": hosts},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": router}],
    )
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": HOST, "port_value": ports.gateways[PLAIN]}}
    return {"name": "plain", "address": address, "filter_chains": [chain]}


def _plain_cluster(ports: Ports) -> object:
    limits = {"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}
    addresses = [{"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": port}}}}
                 for port in ports.upstreams]  # fmt: skip
    return {
        "name": "bench",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": "bench", "endpoints": [{"lb_endpoints": addresses}]},
    }
