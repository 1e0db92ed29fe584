"""Command-line flags that both ext_proc services have, under the names and with the defaults of the reference.

Every flag of every release of the reference is accepted, so that its manifests start unchanged, also as the first
releases spelt them (`-poolName`). One that means nothing here is listed in `--help` with the reason, and noted once in
the log when it is given.
"""

import argparse
import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.extproc.certificates import Tls
from gateway.extproc.service import Listeners
from gateway.kube.sources.opening import Origin, add_source, origin
from gateway.rpc.limits import MESSAGE_LIMIT_BYTES, Settings
from gateway.rpc.server import Transport, default_transport
from gateway.schema import units
from gateway.service import logs
from gateway.service.worker import Worker
from gateway.wire import ports

# klog's levels: 2 is the default, 4 and more is debugging.
DEBUG_VERBOSITY = 4
CONFIG_DIRS = "POINTSMAN_CONFIG_DIR"
LARGEST_MESSAGE: Final = 2**31 - 1  # gRPC counts in 32 bits
BASE_IGNORED: Mapping[str, str] = {
    "--metrics-endpoint-auth": "metrics are served without Kubernetes' token review",
    "--metrics-cert-dir": "metrics are served in the clear",
    "--metrics-client-ca-file": "metrics are served in the clear",
    "--enable-pprof": "there is no Go profiler",
    "--enable-grpc-stream-metrics": "streams are counted by pointsman_ metrics",
    "--health-checking": "health is always served on the ext_proc port, too",
    "--tls-cipher-suites": "the library's own list of suites is served",
    "--zap-devel": "logs have one form",
    "--zap-log-level": "use --log-level",
    "--zap-stacktrace-level": "errors always come with their stack",
    "--zap-time-encoding": "stamps are ISO 8601",
}
_FLAG: Final = re.compile(r"--?(?P<name>[A-Za-z][A-Za-z0-9-]+)(?P<value>=.*)?", re.DOTALL)
_TLS_VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = MappingProxyType(
    {
        **dict.fromkeys(("", "VersionTLS10", "VersionTLS11", "VersionTLS12"), ssl.TLSVersion.TLSv1_2),
        "VersionTLS13": ssl.TLSVersion.TLSv1_3,
    }
)
_HUMP: Final = re.compile(r"(?<!^)(?=[A-Z])")


def boolean(text: str) -> bool:
    """Go's words for a flag."""
    words = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return words[text.lower()]


def seconds(text: str) -> float:
    """A Go duration, or a number of seconds."""
    found = units.duration(text)
    if found is None:
        try:
            found = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {units.DURATION}, got {text!r}") from None
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"expected {units.DURATION}, got {text!r}")
    return found


def tls_version(text: str) -> ssl.TLSVersion:
    """Go's name of a version of TLS; what is older than 1.2 is not served."""
    if text not in _TLS_VERSIONS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(filter(None, _TLS_VERSIONS))}, got {text!r}")
    return _TLS_VERSIONS[text]


def message_size(text: str) -> int:
    """A quantity of bytes; empty is this project's own limit."""
    found = units.quantity(text.removesuffix("B")) if text else MESSAGE_LIMIT_BYTES
    if found is None or not 0 < found <= LARGEST_MESSAGE:
        raise argparse.ArgumentTypeError(f"expected a size such as 10MiB, at most 2GiB, got {text!r}")
    return found


def spelt_today(argv: Sequence[str]) -> Iterator[str]:
    """Flags as they are spelt today: Go takes one dash for two, and the first releases wrote `--poolName`."""
    for word in argv:
        found = _FLAG.fullmatch(word)
        if found is None:
            yield word
        else:
            yield f"--{_HUMP.sub('-', found['name']).lower()}{found['value'] or ''}"


def add_serving(parser: argparse.ArgumentParser, *, grpc_port: int, health_port: int) -> None:
    """Where and how to serve, where the manifests are, how to log."""
    flag = parser.add_argument
    flag("--config-dir", type=Path, action="append", default=[], metavar="DIR",
         help="folder of manifests; repeat it, a later folder replaces objects of an earlier one "
         f"(default: those in {CONFIG_DIRS}, separated by colons)")  # fmt: skip
    add_source(parser)
    flag("--host", default="0.0.0.0", help="address to listen on (default: all)")
    flag("--grpc-port", type=int, default=grpc_port, help=f"ext_proc (default: {grpc_port})")
    flag("--grpc-health-port", type=int, default=health_port, help=f"gRPC health (default: {health_port})")
    flag(
        "--metrics-port",
        type=int,
        default=ports.METRICS,
        help=f"/metrics, /healthz, /readyz (default: {ports.METRICS})",
    )
    _add_tls(parser)
    for name in ("--grpc-max-recv-msg-size", "--grpc-max-send-msg-size"):
        flag(name, type=message_size, default=MESSAGE_LIMIT_BYTES, metavar="SIZE",
             help=f"largest gRPC message, such as 10MiB (default: {MESSAGE_LIMIT_BYTES >> 20}MiB)")  # fmt: skip
    flag("--grpc-transport", choices=[each.value for each in Transport], default=None,
         help="what serves gRPC (default: nghttp2 where its library is installed, else grpcio)")  # fmt: skip
    flag("--grpc-socket", type=Path, metavar="PATH", help="serve ext_proc on this Unix socket, too, in the clear")
    flag("--drain-timeout", type=seconds, default=30.0, metavar="DURATION",
         help="how long SIGTERM waits for requests in flight, such as 30s (default: 30s)")  # fmt: skip
    flag("--log-level", choices=logs.LEVELS, default=None, help="default: info")
    flag("-v", "--v", type=int, default=2, metavar="N", help="as the reference: 4 and more is --log-level debug")
    flag("--zap-encoder", choices=("json", "console"), help="json or console logs (default: by terminal)")


def _add_tls(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--secure-serving", type=boolean, nargs="?", const=True, default=True, metavar="true|false",
         help="serve ext_proc with TLS, self-signed without --cert-path (default: true)")  # fmt: skip
    flag("--cert-path", type=Path, metavar="DIR", help="folder with tls.crt and tls.key")
    flag("--enable-cert-reload", type=boolean, nargs="?", const=True, default=False, metavar="true|false",
         help="take over a changed certificate in --cert-path without a restart (default: false)")  # fmt: skip
    flag("--tls-min-version", type=tls_version, default=ssl.TLSVersion.TLSv1_2, metavar="VERSION",
         help="VersionTLS12 or VersionTLS13; older ones count as VersionTLS12 (default: VersionTLS12)")  # fmt: skip
    flag("--client-ca-file", type=Path, metavar="FILE",
         help="refuse clients of ext_proc without a certificate of these authorities (default: take all)")  # fmt: skip


def config_dirs(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Folders of the command line, else of the environment: so that the reference's arguments can stay as they are."""
    found = arguments.config_dir or [Path(part) for part in environment.get(CONFIG_DIRS, "").split(os.pathsep) if part]
    return tuple(found)


def objects(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Origin | None:
    """Where objects come from; it is logged where they come from nowhere."""
    found = origin(arguments, config_dirs(arguments, environment), environment)
    if found is None:
        logs.get(__name__).warning("no manifests: give --config-dir or --source cluster", environment=CONFIG_DIRS)
    return found


def add_tracing(parser: argparse.ArgumentParser) -> None:
    """The flag for traces; off by default, unlike the reference's."""
    parser.add_argument("--tracing", type=boolean, nargs="?", const=True, default=False, metavar="true|false",
        help="send traces by OTLP over HTTP, as OTEL_… in the environment says (default: false)")  # fmt: skip


def add_ignored(parser: argparse.ArgumentParser, flags: Mapping[str, str]) -> None:
    """Accept flags of the reference that have no effect here; `flags` gives the reasons."""
    group = parser.add_argument_group("accepted without effect, since manifests of the reference have them")
    for name, reason in flags.items():
        group.add_argument(name, nargs="?", const="true", default=None, metavar="…", help=reason.replace("%", "%%"))


def note_ignored(arguments: argparse.Namespace, flags: Mapping[str, str]) -> None:
    """Log once which given flags do nothing."""
    log = logs.get(__name__)
    for name, reason in flags.items():
        if getattr(arguments, name.strip("-").replace("-", "_")) is not None:
            log.warning("a flag has no effect here", flag=name, reason=reason)


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what argparse cannot refuse by itself."""
    if arguments.client_ca_file is not None and not arguments.secure_serving:
        parser.error("--client-ca-file needs --secure-serving")
    named = {"--grpc-port": arguments.grpc_port, "--grpc-health-port": arguments.grpc_health_port,
             "--metrics-port": arguments.metrics_port}  # fmt: skip
    given = [port for port in named.values() if port != 0]
    if len(set(given)) < len(given):
        parser.error(f"the ports must differ: {', '.join(f'{name} {port}' for name, port in named.items())}")


def configure_logs(service: str, arguments: argparse.Namespace) -> None:
    """Set up logs by the flags."""
    level = arguments.log_level or ("debug" if arguments.v >= DEBUG_VERBOSITY else "info")
    console = None if arguments.zap_encoder is None else arguments.zap_encoder == "console"
    logs.configure(service, level, console=console)


def listeners(arguments: argparse.Namespace, worker: Worker | None = None) -> Listeners:
    """The ports as one value; a worker has its own, and leaves the port of health to its supervisor."""
    tls = Tls(arguments.cert_path, arguments.enable_cert_reload, arguments.client_ca_file, arguments.tls_min_version)
    socket = arguments.grpc_socket
    return Listeners(
        arguments.host,
        arguments.grpc_port if worker is None else worker.port(arguments.grpc_port),
        arguments.grpc_health_port if worker is None else None,
        tls if arguments.secure_serving else None,
        arguments.drain_timeout,
        Settings(arguments.grpc_max_recv_msg_size, arguments.grpc_max_send_msg_size),
        Transport(arguments.grpc_transport) if arguments.grpc_transport else default_transport(),
        socket if worker is None or socket is None else worker.path(socket),
    )
