"""`epp [run] …`: the endpoint picker; `epp --check-config FILE`, `epp plugins`, `epp explain REQUEST_ID --url …`,
`epp usage --by tenant,model --url …`."""

import argparse
import hashlib
import json
import os
import secrets
import socket
import sqlite3
import sys
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from epp.app import client
from epp.app import config_file as configuration
from epp.app import stack as app
from epp.app.guarded import Judge
from epp.app.workers import PAGES
from epp.billing import report
from epp.billing.biller import DEFAULT_DAYS, Billing
from epp.config import ConfigError
from epp.config.flags import METRIC_FLAGS, SOURCE_FLAGS, ScrapeFlags
from epp.discovery import PriorityOrder, Scope
from epp.domain import PoolId
from epp.recording.recorder import Recording
from epp.sharing.redis_address import Address, Password
from epp.telemetry.generations import Names
from gateway.extproc import options as flags
from gateway.kube.objects import DEFAULT_NAMESPACE
from gateway.kube.sources.cluster.credentials import CredentialsError
from gateway.router import options as routing
from gateway.router.key_files import KeyFileError
from gateway.router.packages import PackageError
from gateway.router.routers import Choice
from gateway.routing.catalogue import PluginError
from gateway.rpc.server import AddressError
from gateway.rpc.tls import CertificateError
from gateway.service import access, lifecycle
from gateway.service.worker import Worker
from gateway.wire import ports
from gateway.wire.quotas import TOKEN_FLAG
from gateway.workers import options as workers
from gateway.workers import supervisor
from gateway.workers.supervisor import Fleet

IGNORED = {
    **flags.BASE_IGNORED,
    "--ha-enable-leader-election": "every replica serves; share state with --redis-url",
    "--pool-group": "pools of every group are read",
    "--endpoint-selector": "endpoints come from the pool's selector",
    "--endpoint-target-ports": "endpoints come from the pool's ports",
    "--refresh-metrics-interval": "the interval adapts: 50 ms busy, 1 s idle",
    "--refresh-prometheus-metrics-interval": "pool gauges are computed when asked for",
    "--metrics-staleness-threshold": "staleness follows each endpoint's own interval",
    "--allow-experimental-plugins": "every plugin may be used",
    "--emit-endpoint-scores": "scores are shown by --explain",
    "--destination-endpoint-hint-key": "the protocol's key is written",
    "--destination-endpoint-hint-metadata-namespace": "the protocol's namespace is written",
}
COMMANDS = ("run", "plugins", "explain", "usage")
DEFAULT_RECORD_MEBIBYTES = "256"
# A mebibyte holds some 500 requests of 8000 tokens.
MOST_RECORD_MEBIBYTES = 1 << 20


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `run` may be left out."""
    parser = argparse.ArgumentParser("epp", description="Endpoint picker: answers each request with a model server.")
    flag = parser.add_argument
    flag("command", nargs="?", choices=COMMANDS, default="run")
    flag("request_id", nargs="?", help="for explain: a request id or pick id")
    flag("--url", default=f"http://127.0.0.1:{ports.METRICS}", help="for explain and usage: the picker's metrics port")
    flag("--check-config", type=Path, metavar="FILE", help="validate an EndpointPickerConfig and exit")
    flags.add_serving(parser, grpc_port=ports.EPP_GRPC, health_port=ports.EPP_HEALTH)
    flag("--pool-name", help="the pool of requests whose route names none; of a cluster, the only one followed")
    flag("--pool-namespace", default=os.environ.get("NAMESPACE"),
         help="its namespace (default: default); without --pool-name that of a cluster's pools (all)")  # fmt: skip
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--config-file", type=Path, help="EndpointPickerConfig; followed while running")
    chosen.add_argument("--config-text", help="EndpointPickerConfig as text")
    flag(
        "--priority-order",
        type=PriorityOrder,
        choices=tuple(PriorityOrder),
        default=PriorityOrder.HIGHER_FIRST,
        help="which priority of InferenceObjectives is more important (default: higher-first, as the API says)",
    )
    workers.add(parser)
    flag("--redis-url", help="share what is learned with the other replicas through this Redis")
    flag("--redis-password-file", type=Path, help="the password of that Redis: the first line of this file")
    flag("--http-port", type=int, help="open the HTTP door for Envoy's ext_authz (default: closed)")
    flag(
        "--http-host",
        default="127.0.0.1",
        help="address of the HTTP door, which is for Envoy alone (default: loopback)",
    )
    flag("--http-socket", type=Path, help="open the HTTP door on a Unix socket")
    flag(
        "--replica-id",
        help="name of this replica, unique among those that share a Redis (default: POD_NAME, else made up)",
    )
    flag("--explain", action="store_true", help="keep scores of decisions and answer x-pointsman-explain")
    flags.add_tracing(parser)
    flag("--disable-endpoint-subset-filter", type=flags.boolean, nargs="?", const=True, default=False,
         metavar="true|false", help="pick among all endpoints, whatever the proxy allows (default: false)")  # fmt: skip
    flag("--guard", metavar="JSON", help="refuse requests as the router's plugin of that name does (docs/routing.md)")
    flag("--metric-names", choices=[names.value for names in Names], default=Names.INFERENCE.value,
         help="generation of the reference's metric names, or each figure under both (default: inference)")  # fmt: skip
    flag("--usage-file", type=Path, metavar="FILE", help="keep the bill in this file of SQLite (default: in the "
         "Redis of --redis-url, else in memory)")  # fmt: skip
    flag("--usage-days", type=int, default=DEFAULT_DAYS, metavar="DAYS", help="keep the bill for so many days")
    flag(TOKEN_FLAG, type=Path, metavar="FILE", help="count quotas only for a proxy that brings the token in the first "
         "line of this file: controlplane has the same flag (default: for whoever reaches the port)")  # fmt: skip
    client.add_bill(parser.add_argument_group("for usage"))
    flag(access.FLAG, type=Path, metavar="FILE",
         help="the page and /debug want the bearer token in the first line of this file (default: open)")  # fmt: skip
    flag("--record", type=Path, metavar="FILE", help="write what was served to this file, for `pointsman lab`: block "
         "hashes, lengths, times; no text (docs/recording.md)")  # fmt: skip
    flag("--record-size-limit", type=mebibytes, default=DEFAULT_RECORD_MEBIBYTES, metavar="MIB",
         help="size of that file, of which FILE.1 keeps the one before (default: 256)")  # fmt: skip
    flag("--record-key-file", type=Path, help="the key of the hashes: the first line of this file; recordings of "
         "replicas with the same one fit together (default: a new one at each start)")  # fmt: skip
    flag("--fused", action="store_true", help="also be the body-based router, on the same port (docs/routing.md)")
    routing.add(parser)
    flags.add_ignored(parser, IGNORED)
    _add_scraping(parser)
    parsed = parser.parse_args([*flags.spelt_today(argv)])
    problem = scrape_flags(parsed).problem()
    if problem:
        parser.error(problem)
    if parsed.command == "explain" and not parsed.request_id:
        parser.error("explain needs a request id")
    flags.check(parser, parsed)
    workers.check(parser, parsed, (parsed.grpc_port, parsed.http_port or 0))
    routing.check(parser, parsed)
    return parsed


def _add_scraping(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how endpoints are scraped, where the configuration does not say it")
    for figure, name in METRIC_FLAGS.items():
        group.add_argument(name, dest=f"metric_{figure}", type=unquoted, metavar="SELECTOR",
                           help="family{label=value} of the default engine; empty for none")  # fmt: skip
    group.add_argument(SOURCE_FLAGS["scheme"], dest="source_scheme", choices=("http", "https"), help="default: http")
    group.add_argument(SOURCE_FLAGS["path"], dest="source_path", type=unquoted, help="default: /metrics")
    group.add_argument(SOURCE_FLAGS["port"], dest="source_port", type=int, help="default: the endpoint's own")
    group.add_argument(SOURCE_FLAGS["insecure_skip_verify"], dest="source_insecure_skip_verify", type=flags.boolean,
                       nargs="?", const=True, help="default: true")  # fmt: skip


def first_line(flag: str, file: Path | None) -> str | None:
    """What stands in a file that holds a secret, without the end of its line; None where there is no such file."""
    if file is None:
        return None
    try:
        return _first_line(file)
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"epp: {flag}: {error}")


def mebibytes(text: str) -> int:
    """A whole number of them, in bytes."""
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST_RECORD_MEBIBYTES:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_RECORD_MEBIBYTES} MiB, got {text!r}")
    return int(text) << 20


def usage_file(given: argparse.Namespace, worker: Worker | None) -> Path | None:
    """Where the bill is kept: workers have one, which none of them has in its memory alone."""
    if worker is None or given.redis_url is not None:
        return given.usage_file  # type: ignore[no-any-return]
    return given.usage_file or worker.folder / "usage.db"


def recording(given: argparse.Namespace, worker: Worker | None) -> Recording | None:
    """Where to record to, if anywhere; each worker has a file of its own."""
    if given.record is None:
        return None
    words = first_line("--record-key-file", given.record_key_file)
    if words == "":
        sys.exit(f"epp: --record-key-file: the first line of {given.record_key_file} is empty")
    key = secrets.token_bytes(32) if words is None else hashlib.sha256(words.encode()).digest()
    file = given.record if worker is None else worker.path(given.record)
    return Recording(file, given.record_size_limit, key)


def redis_address(url: str | None) -> Address | None:
    """Where Redis is; its client is loaded for it alone."""
    if url is None:
        return None
    from epp.sharing.redis_client import RedisAddressError, read_address

    try:
        return read_address(url)
    except RedisAddressError as error:
        sys.exit(f"epp: --redis-url: {error}")


def redis_password(file: Path | None) -> Password | None:
    """The first line of a file, which is read for each connection, since it may change; it must be there now."""
    last = first_line("--redis-password-file", file)
    if file is None or last is None:
        return None

    def read() -> str:
        try:
            return _first_line(file)
        except OSError:
            return last

    return read


def _first_line(file: Path) -> str:
    return file.read_text().partition("\n")[0].strip()


def unquoted(text: str) -> str:
    """A value without the quotation marks that charts of the reference pass on."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def scrape_flags(given: argparse.Namespace) -> ScrapeFlags:
    """What the command line says of scrapes."""
    metrics = {figure: getattr(given, f"metric_{figure}") for figure in METRIC_FLAGS}
    source = {name: getattr(given, f"source_{name}") for name in SOURCE_FLAGS}
    return ScrapeFlags(
        {figure: text for figure, text in metrics.items() if text is not None},
        {name: value for name, value in source.items() if value is not None},
    )


def guard(written: str | None) -> Judge | None:
    """The guard of the command line; its patterns need a package that is loaded for it alone."""
    if not written:
        return None
    from gateway.routing.catalogue import Reader

    try:
        (named,) = Reader(classifiers=configuration.classifiers()).read([f"guard:guard:{written}"])
    except (PluginError, configuration.UnreadableError) as error:
        sys.exit(f"epp: --guard: {error}")
    return named.plugin  # type: ignore[return-value]


def router(given: argparse.Namespace) -> Choice | None:
    """The body-based router in this process, where it is wanted."""
    if not given.fused:
        return None
    try:
        return routing.choice(given)
    except (PluginError, PackageError, KeyFileError) as error:
        sys.exit(f"epp: {error}")


def scope(given: argparse.Namespace) -> Scope:
    """What is followed of a cluster."""
    namespace = given.pool_namespace or (DEFAULT_NAMESPACE if given.pool_name else "")
    return Scope(namespace, given.pool_name or "", given.fused)


def options(given: argparse.Namespace) -> app.Options:
    """The command line as a value."""
    worker = workers.worker(given)
    replica = given.replica_id or os.environ.get("POD_NAME") or f"{socket.gethostname()}-{secrets.token_hex(3)}"
    return app.Options(
        listeners=flags.listeners(given, worker),
        operators_token=access.token_in(given.operators_token_file) if worker is None else None,
        quota_token=access.token_in(given.quota_token_file, TOKEN_FLAG),
        worker=worker,
        metrics_port=given.metrics_port,
        replica=replica if worker is None else f"{replica}-{worker.index}",
        objects=flags.objects(given),
        scope=scope(given),
        config_file=given.config_file,
        config_text=given.config_text,
        scrape_flags=scrape_flags(given),
        default_pool=PoolId(f"{given.pool_namespace or DEFAULT_NAMESPACE}/{given.pool_name}")
        if given.pool_name
        else None,
        redis=redis_address(given.redis_url),
        redis_password=redis_password(given.redis_password_file),
        http_host=given.http_host,
        http_port=given.http_port and (worker.port(given.http_port) if worker is not None else given.http_port),
        http_socket=given.http_socket and (worker.path(given.http_socket) if worker is not None else given.http_socket),
        explains=given.explain,
        metric_names=Names(given.metric_names),
        traces=given.tracing,
        guard=guard(given.guard),
        honours_subset=not given.disable_endpoint_subset_filter,
        priority_order=given.priority_order,
        router=router(given),
        recording=recording(given, worker),
        billing=Billing(usage_file(given, worker), given.usage_days),
    )


def check_config(file: Path) -> None:
    """Print what is wrong and exit 1, or say that all is well."""
    try:
        config = configuration.ConfigSource(file, None).load()
    except (ConfigError, configuration.UnreadableError) as error:
        sys.exit(str(error))
    for warning in config.warnings:
        print(f"warning: {warning}")
    print(f"{file}: ok")


def explain(url: str, request_id: str) -> None:
    """Ask a running picker why."""
    found = client.fetch(url, f"/debug/explain/{urllib.parse.quote(request_id, safe='')}")
    print(json.dumps(found, indent=2))


def usage(given: argparse.Namespace) -> None:
    """Show the bill of a running picker."""
    print(client.bill(given.url, given.by, given.since, given.until, given.prices, report.Output(given.output)))


def plugins() -> None:
    """Print every plugin type with its parameters, those of installed packages last."""
    from epp.config.describe import describe_plugins

    try:
        print(describe_plugins(configuration.own_plugins()))
    except configuration.UnreadableError as error:
        sys.exit(str(error))


def serve(given: argparse.Namespace) -> None:
    """Run until a signal."""
    flags.configure_logs(workers.named("epp", given), given)
    flags.note_ignored(given, IGNORED)
    try:
        chosen = options(given)
    except access.TokenError as error:
        sys.exit(f"epp: {error}")
    expected = (
        AddressError, CertificateError, ConfigError, configuration.UnreadableError, CredentialsError, KeyFileError,
        OSError, sqlite3.Error,
    )  # fmt: skip
    try:
        lifecycle.run(lambda stopping: app.serve_until(stopping, chosen), workers.leash(chosen.worker))
    except* expected as errors:
        sys.exit("\n".join(f"epp: {error}" for error in lifecycle.leaves(errors)))


def supervise(given: argparse.Namespace, words: Sequence[str]) -> None:
    """Start workers, and watch them until a signal."""
    flags.configure_logs("epp", given)
    try:
        token = access.token_in(given.operators_token_file)
    except access.TokenError as error:
        sys.exit(f"epp: {error}")
    listeners, command = flags.listeners(given), workers.command("epp", words)
    fleet = Fleet(command, given.workers, listeners, given.metrics_port, given.grpc_health_port, token, PAGES)
    try:
        lifecycle.run(lambda stopping: supervisor.serve_until(stopping, fleet))
    except* (supervisor.HopelessError, AddressError, OSError) as errors:
        sys.exit("\n".join(f"epp: {error}" for error in lifecycle.leaves(errors)))


def main(argv: Sequence[str] | None = None) -> None:
    """Console script."""
    words = tuple(sys.argv[1:] if argv is None else argv)
    given = arguments(words)
    if given.check_config is not None:
        check_config(given.check_config)
    elif given.command == "plugins":
        plugins()
    elif given.command == "explain":
        explain(given.url, given.request_id)
    elif given.command == "usage":
        usage(given)
    elif workers.supervises(given):
        supervise(given, words)
    else:
        serve(given)


if __name__ == "__main__":
    main()
