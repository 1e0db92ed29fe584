"""Command-line flags that both ext_proc services have, under the reference's names.

Flags of the reference that mean nothing here are accepted, so that its manifests start unchanged, and noted once in
the log. `--secure-serving` defaults to false, unlike the reference: a self-signed certificate that no proxy verifies
protects nothing; give `--cert-path` to serve TLS.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

from gateway.extproc.service import Listeners
from gateway.service import logs
from gateway.wire import ports

# klog's levels: 2 is the default, 4 and more is debugging.
DEBUG_VERBOSITY = 4
CONFIG_DIRS = "POINTSMAN_CONFIG_DIR"
BASE_IGNORED: Mapping[str, str] = {
    "--metrics-endpoint-auth": "metrics are served without Kubernetes' token review",
    "--enable-pprof": "there is no Go profiler",
    "--health-checking": "health is always served on the ext_proc port too",
    "--tracing": "traces are not exported",
    "--zap-devel": "",
    "--zap-log-level": "use --log-level",
    "--zap-stacktrace-level": "",
    "--zap-time-encoding": "stamps are ISO 8601",
    "--enable-cert-reload": "restart to load a new certificate",
}


def boolean(text: str) -> bool:
    """Go's words for a flag."""
    words = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return words[text.lower()]


def add_serving(parser: argparse.ArgumentParser, *, grpc_port: int, health_port: int) -> None:
    """Where and how to serve, where the manifests are, how to log."""
    flag = parser.add_argument
    flag("--config-dir", type=Path, action="append", default=[], metavar="DIR",
         help="folder of manifests; repeat it, a later folder replaces objects of an earlier one "
         f"(default: those in {CONFIG_DIRS}, separated by colons)")  # fmt: skip
    flag("--host", default="0.0.0.0", help="address to listen on (default: all)")
    flag("--grpc-port", type=int, default=grpc_port, help=f"ext_proc (default: {grpc_port})")
    flag("--grpc-health-port", type=int, default=health_port, help=f"gRPC health (default: {health_port})")
    flag(
        "--metrics-port",
        type=int,
        default=ports.METRICS,
        help=f"/metrics, /healthz, /readyz (default: {ports.METRICS})",
    )
    flag("--secure-serving", type=boolean, nargs="?", const=True, default=False,
         help="serve ext_proc with TLS; needs --cert-path (default: false)")  # fmt: skip
    flag("--cert-path", type=Path, help="folder with tls.crt and tls.key")
    flag("--drain-timeout", type=float, default=20.0, metavar="SECONDS",
         help="how long SIGTERM waits for requests in flight (default: 20)")  # fmt: skip
    flag("--log-level", choices=logs.LEVELS, default=None, help="default: info")
    flag("-v", "--v", type=int, default=2, metavar="N", help="as the reference: 4 and more is --log-level debug")
    flag("--zap-encoder", choices=("json", "console"), help="json or console logs (default: by terminal)")


def config_dirs(arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Folders of the command line, else of the environment: so that the reference's arguments can stay as they are."""
    found = arguments.config_dir or [Path(part) for part in environment.get(CONFIG_DIRS, "").split(os.pathsep) if part]
    if not found:
        logs.get(__name__).warning("no manifests: give --config-dir", environment=CONFIG_DIRS)
    return tuple(found)


def add_ignored(parser: argparse.ArgumentParser, flags: Mapping[str, str]) -> None:
    """Accept flags of the reference that have no effect here."""
    for name in flags:
        parser.add_argument(name, nargs="?", const="true", default=None, help=argparse.SUPPRESS)


def note_ignored(arguments: argparse.Namespace, flags: Mapping[str, str]) -> None:
    """Log once which given flags do nothing."""
    log = logs.get(__name__)
    for name, reason in flags.items():
        if getattr(arguments, name.strip("-").replace("-", "_")) is not None:
            log.warning("a flag has no effect here", flag=name, reason=reason or "not needed")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what argparse cannot refuse by itself."""
    if arguments.secure_serving and arguments.cert_path is None:
        parser.error("--secure-serving needs --cert-path: a folder with tls.crt and tls.key")
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


def listeners(arguments: argparse.Namespace) -> Listeners:
    """The ports as one value."""
    return Listeners(
        arguments.host,
        arguments.grpc_port,
        arguments.grpc_health_port,
        arguments.cert_path if arguments.secure_serving else None,
        arguments.drain_timeout,
    )
