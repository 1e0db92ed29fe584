"""The processes of a stack on one host, with their arguments and ports. Pure: it starts nothing and reads nothing.

`pointsman up` runs the plan under honcho, and the end-to-end tests run the same plan on free ports: what a person
starts is what was tested.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from processes.ports import Ports as Ports

HOST = "127.0.0.1"
LOG_FLUSH_MILLISECONDS = 500  # of the access log, which people and `pointsman compare` follow
# Envoy warns of each call to a router or a picker that is gone. That it is gone, its statistics say.
QUIET = ("--component-log-level", "ext_proc:error")
PICKER_SECONDS = 30.0  # that Envoy waits for a picker at its start; one is ready in two on an idle host


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `ready` is the URL that answers 200 once it serves."""

    name: str
    arguments: tuple[str, ...]
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Simulator:
    """The model servers of one demo pool, `replicas` of them alike, named after it as a cluster would name Pods."""

    name: str
    model: str
    adapters: tuple[str, ...]
    replicas: int


SIMULATORS = (
    Simulator("vllm-qwen3-32b", "Qwen/Qwen3-32B", ("food-review-1", "code-assist"), 3),
    Simulator("phi-4-mini", "phi-4-mini-instruct", (), 2),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """The first request through the gateway: the stack is up when it is answered with this status."""

    path: str
    body: bytes | None = None  # None asks with GET
    status: int = 200


COMPLETION = Probe(
    "/v1/completions", json.dumps({"model": SIMULATORS[1].model, "prompt": "ready?", "max_tokens": 1}).encode()
)
MODEL_LIST = Probe("/v1/models")
WITHOUT_KEY = Probe("/v1/models", status=401)  # where clients need one


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are. `run` is the folder of this run: rendered xDS, logs, process ids. `root` has `config` and
    `envoy` as the repository has them."""

    root: Path
    run: Path
    envoy: Path
    binaries: Path  # the virtual environment's bin

    @property
    def xds(self) -> Path:
        """The folder that the control plane writes and Envoy watches."""
        return self.run / "xds"

    @property
    def access_log(self) -> Path:
        """The file that Envoy writes a line into for each request that has ended."""
        return self.run / "access.log"


@dataclass(frozen=True, slots=True)
class Keys:
    """The files of clients' keys and of the secret that tells their caches apart."""

    clients: Path
    salt: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """What may differ between one stack and another."""

    ports: Ports
    layout: Layout
    config_dirs: tuple[Path, ...]
    epp_config: Path
    redis_url: str | None = None
    picker: str = "ext_proc"
    workers: int = 1  # processes of the picker, and of the router, at ports a hundred apart
    is_fused: bool = False  # the picker is also the body-based router
    keys: Keys | None = None  # without: every client may ask
    grpc_transport: str | None = None  # the services' own default
    log_level: str = "info"
    simulators: tuple[Simulator, ...] = SIMULATORS
    servers: tuple[Process, ...] = ()  # model servers that are started as they are
    probe: Probe | None = COMPLETION  # None: Envoy has found the pickers and the router healthy
    listeners: tuple[tuple[int, int], ...] = ()  # ports of Gateways, and those they are served on; empty: 80 alone
    operators_token_file: Path | None = None  # what the operators' ports want, but for probes and metrics
    picker_tls: bool = False  # to the picker, with a certificate that it made itself
    simulator_profile: str = "demo"
    simulator_options: tuple[str, ...] = ()
    picker_options: tuple[str, ...] = ()


def processes(settings: Settings) -> tuple[Process, ...]:
    """The whole stack, in the order in which a person would start it."""
    return (
        *simulators(settings),
        *settings.servers,
        epp(settings),
        *(() if settings.is_fused else (bbr(settings),)),
        controlplane(settings),
        envoy(settings),
    )


def render_arguments(settings: Settings) -> tuple[str, ...]:
    """Render Envoy's configuration once: Envoy refuses to start on files that do not exist yet."""
    return (
        str(settings.layout.binaries / "controlplane"),
        "render",
        *_config_dirs(settings),
        *_rendering(settings),
    )


def controlplane(settings: Settings) -> Process:
    """The control plane, watching the manifest folders."""
    port = settings.ports.controlplane_http
    return Process(
        name="controlplane",
        arguments=(
            str(settings.layout.binaries / "controlplane"),
            "run",
            *_config_dirs(settings),
            *_rendering(settings),
            "--host",
            HOST,
            "--http-port",
            str(port),
            "--envoy-admin",
            f"{HOST}:{settings.ports.envoy_admin}",
            "--picker-page",
            f"http://{HOST}:{settings.ports.epp_metrics}",
            *_operators(settings),
            "--log-level",
            settings.log_level,
        ),
        ready=f"http://{HOST}:{port}/readyz",
    )


def epp(settings: Settings, *, name: str = "epp", ports: Ports | None = None) -> Process:
    """One endpoint picker; `ports` gives a second replica its own."""
    own = ports or settings.ports
    usage = ("--usage-file", str(settings.layout.run / "usage.db"))
    shared = ("--redis-url", settings.redis_url) if settings.redis_url else usage
    return Process(
        name=name,
        arguments=(
            str(settings.layout.binaries / "epp"),
            "run",
            *_config_dirs(settings),
            "--config-file",
            str(settings.epp_config),
            "--host",
            HOST,
            "--grpc-port",
            str(own.epp_grpc),
            "--grpc-health-port",
            str(own.epp_health),
            "--metrics-port",
            str(own.epp_metrics),
            "--http-port",
            str(own.epp_http),
            f"--secure-serving={str(settings.picker_tls).lower()}",
            "--explain",
            *_operators(settings),
            "--log-level",
            settings.log_level,
            *_grpc_transport(settings),
            *_workers("--workers", settings),
            *shared,
            *(("--fused", *_keys(settings)) if settings.is_fused else ()),
            *settings.picker_options,
        ),
        ready=f"http://{HOST}:{own.epp_metrics}/readyz",
    )


def bbr(settings: Settings) -> Process:
    """The body-based router."""
    ports = settings.ports
    return Process(
        name="bbr",
        arguments=(
            str(settings.layout.binaries / "bbr"),
            "run",
            *_config_dirs(settings),
            "--host",
            HOST,
            "--grpc-port",
            str(ports.bbr_grpc),
            "--grpc-health-port",
            str(ports.bbr_health),
            "--metrics-port",
            str(ports.bbr_metrics),
            "--secure-serving=false",
            "--log-level",
            settings.log_level,
            *_grpc_transport(settings),
            *_workers("--workers", settings),
            *_keys(settings),
        ),
        ready=f"http://{HOST}:{ports.bbr_metrics}/readyz",
    )


def _keys(settings: Settings) -> tuple[str, ...]:
    if settings.keys is None:
        return ()
    return ("--keys-file", str(settings.keys.clients), "--cache-salt-file", str(settings.keys.salt))


def _operators(settings: Settings) -> tuple[str, ...]:
    file = settings.operators_token_file
    return ("--operators-token-file", str(file)) if file is not None else ()


def _workers(flag: str, settings: Settings) -> tuple[str, ...]:
    return (flag, str(settings.workers)) if settings.workers > 1 else ()


def _grpc_transport(settings: Settings) -> tuple[str, ...]:
    return ("--grpc-transport", settings.grpc_transport) if settings.grpc_transport else ()


def envoy(settings: Settings) -> Process:
    """Stock Envoy on the same bootstrap as the container, with this run's folder and admin port laid over it. It starts
    once the picker is ready, or after a bound."""
    overlay = (
        f"{{admin: {{address: {{socket_address: {{address: {HOST}, port_value: {settings.ports.envoy_admin}}}}}}}, "
        f"dynamic_resources: {{{_path('lds', settings)}, {_path('cds', settings)}}}}}"
    )
    return Process(
        name="envoy",
        arguments=(
            str(settings.layout.binaries / "python"),
            "-m",
            "processes.start_after",
            f"{PICKER_SECONDS:g}",
            epp(settings).ready,
            str(settings.layout.envoy),
            "-c",
            str(settings.layout.root / "envoy" / "bootstrap.yaml"),
            "--config-yaml",
            overlay,
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            str(LOG_FLUSH_MILLISECONDS),
            "--drain-time-s",
            "30",
            "--log-level",
            "warning",
            *QUIET,
            "--concurrency",
            "2",
        ),
        ready=f"http://{HOST}:{settings.ports.envoy_admin}/ready",
    )


def simulators(settings: Settings) -> tuple[Process, ...]:
    """The simulated model servers of every pool, on the ports in order."""
    flat = [(each, index) for each in settings.simulators for index in range(each.replicas)]
    return tuple(
        _simulator(settings, each, index, port)
        for (each, index), port in zip(flat, settings.ports.simulators, strict=True)
    )


def _simulator(settings: Settings, simulator: Simulator, index: int, port: int) -> Process:
    adapters = tuple(f'{{"name": "{adapter}"}}' for adapter in simulator.adapters)
    return Process(
        name=f"{simulator.name}-{index}",
        arguments=(
            str(settings.layout.binaries / "model-sim"),
            "serve",
            simulator.model,
            "--host",
            HOST,
            "--port",
            str(port),
            "--profile",
            settings.simulator_profile,
            "--seed",
            str(index),
            "--enable-prompt-tokens-details",
            "--enable-force-include-usage",
            "--enable-admin",
            *(("--enable-lora", "--lora-modules", *adapters) if adapters else ()),
            *settings.simulator_options,
        ),
        ready=f"http://{HOST}:{port}/health",
        environment={"POD_NAME": f"{simulator.name}-{index}"},
    )


def _config_dirs(settings: Settings) -> tuple[str, ...]:
    return tuple(part for folder in settings.config_dirs for part in ("--config-dir", str(folder)))


def _rendering(settings: Settings) -> tuple[str, ...]:
    ports = settings.ports
    return (
        "--output-dir",
        str(settings.layout.xds),
        "--access-log",
        str(settings.layout.access_log),
        "--listen-address",
        HOST,
        *(
            word
            for pair in settings.listeners or ((80, ports.gateway),)
            for word in ("--port-map", "{}={}".format(*pair))
        ),
        *(("--picker-tls", "tls") if settings.picker_tls else ()),
        "--bbr-address",
        f"{HOST}:{ports.epp_grpc if settings.is_fused else ports.bbr_grpc}",
        *_workers("--bbr-workers", settings),
        *_workers("--picker-workers", settings),
        *(("--fused",) if settings.is_fused else ()),
        *(("--router-authenticates",) if settings.keys is not None else ()),
        "--picker",
        settings.picker,
        "--default-picker",
        "default/epp:9002",
        "--picker-http-port",
        str(ports.epp_http),
        "--quota-address",
        f"{HOST}:{ports.epp_grpc}",
        *(("--pickers-share-state",) if settings.redis_url else ()),
    )


def _path(service: str, settings: Settings) -> str:
    file = settings.layout.xds / f"{service}.json"
    return f'{service}_config: {{path_config_source: {{path: "{file}"}}}}'
