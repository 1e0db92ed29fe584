"""`bbr [run] --config-dir DIR …`: the body-based router."""

import argparse
import os
import sys
from collections.abc import Sequence

from bbr import app
from gateway.extproc import options as flags
from gateway.kube.sources.cluster.credentials import CredentialsError
from gateway.router import options as routing
from gateway.router.key_files import KeyFileError
from gateway.router.packages import PackageError
from gateway.routing.catalogue import PluginError
from gateway.rpc.server import AddressError
from gateway.rpc.tls import CertificateError
from gateway.service import lifecycle
from gateway.wire import ports
from gateway.workers import options as workers
from gateway.workers import supervisor
from gateway.workers.supervisor import Fleet

IGNORED = flags.BASE_IGNORED


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `run` may be left out."""
    parser = argparse.ArgumentParser("bbr", description="Body-based router: lifts the model of a body into headers.")
    parser.add_argument("command", nargs="?", choices=("run",), default="run")
    flags.add_serving(parser, grpc_port=ports.BBR_GRPC, health_port=ports.BBR_HEALTH)
    parser.add_argument("--streaming", type=flags.boolean, nargs="?", const=True, default=False,
                        help="take a proxy that does not name its body mode to stream")  # fmt: skip
    workers.add(parser)
    flags.add_tracing(parser)
    routing.add(parser)
    flags.add_ignored(parser, IGNORED)
    parsed = parser.parse_args([*flags.spelt_today(argv)])
    flags.check(parser, parsed)
    workers.check(parser, parsed, (parsed.grpc_port,))
    routing.check(parser, parsed)
    return parsed


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    words = tuple(sys.argv[1:] if argv is None else argv)
    given = arguments(words)
    flags.configure_logs(workers.named("bbr", given), given)
    flags.note_ignored(given, IGNORED)
    if workers.supervises(given):
        supervise(given, words)
    else:
        serve(given)


def supervise(given: argparse.Namespace, words: Sequence[str]) -> None:
    """Start workers, and watch them until a signal."""
    command, listeners = workers.command("bbr", words), flags.listeners(given)
    fleet = Fleet(command, given.workers, listeners, given.metrics_port, given.grpc_health_port)
    try:
        lifecycle.run(lambda stopping: supervisor.serve_until(stopping, fleet))
    except* (supervisor.HopelessError, AddressError, OSError) as errors:
        sys.exit("\n".join(f"bbr: {error}" for error in lifecycle.leaves(errors)))


def serve(given: argparse.Namespace) -> None:
    """Run until a signal."""
    worker = workers.worker(given)
    try:
        chosen = routing.choice(given)
    except (PluginError, PackageError, KeyFileError) as error:
        sys.exit(f"bbr: {error}")
    options = app.Options(
        listeners=flags.listeners(given, worker),
        metrics_port=given.metrics_port,
        objects=flags.objects(given),
        namespace=os.environ.get("NAMESPACE") or None,
        is_streaming=given.streaming,
        choice=chosen,
        worker=worker,
        traces=given.tracing,
    )
    try:
        lifecycle.run(lambda stopping: app.serve_until(stopping, options), workers.leash(worker))
    except* (AddressError, CertificateError, CredentialsError, KeyFileError, OSError) as errors:
        sys.exit("\n".join(f"bbr: {error}" for error in lifecycle.leaves(errors)))


if __name__ == "__main__":
    main()
