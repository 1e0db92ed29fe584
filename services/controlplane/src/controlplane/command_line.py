"""The command line: its flags, and the options that they amount to."""

import argparse
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from controlplane.options import SERVICE_TYPES, Delivery, Deployment, Options, PickerBody, PickerTransport, is_loopback
from gateway.kube.objects import ObjectName
from gateway.kube.sources.opening import Cluster, Folders, Origin, add_source, origin
from gateway.schema.spelling import is_name
from gateway.service import access, logs
from gateway.wire import ports
from gateway.wire.quotas import TOKEN_FLAG
from gateway.workers.options import count

DESCRIPTION: Final = "Manifests in folders become what Envoy serves by."
DEFAULT: Final = Options()


class Form(StrEnum):
    """How a status is shown."""

    TABLE = "table"
    YAML = "yaml"
    JSON = "json"


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line; what is wrong with it ends the process with 2."""
    parser = argparse.ArgumentParser("controlplane", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="read the manifests and say what is wrong; 1 if anything is")
    status = commands.add_parser("status", help="show what became of the manifests, of a running control plane or not")
    diff = commands.add_parser("diff", help="say what Envoy would change between two folders; 1 if anything")
    once = commands.add_parser("render", help="write Envoy's files once")
    run = commands.add_parser("run", help="serve Envoy now and after every change")
    for command in (check, once):
        _add_folders(command, required=True)
    for command in (status, run):
        _add_folders(command, required=False)
    add_source(run)
    for command in (check, status, diff, once, run):
        _add_reading(command)
    for command in (status, diff, once, run):
        _add_rendering(command)
    for command in (check, diff, once):
        command.add_argument("--json", action="store_true", help="for programs: JSON on standard output")
    status.add_argument("--url", help="of a running control plane's operators' port, such as http://127.0.0.1:9090")
    status.add_argument("-o", "--output", choices=tuple(Form), default=Form.TABLE, help="default table")
    for side in ("before", "after"):
        diff.add_argument(side, type=Path, metavar=side.upper(), help="folder of manifests")
    once.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="where Envoy's files go")
    _add_delivery(run)
    run.add_argument("--leader-election", type=object_name, metavar="NAMESPACE/LEASE",
                     help="one replica at a time writes objects and their status, elected by this Lease; every one "
                     "serves Envoys (default: every one writes the same)")  # fmt: skip
    _add_deployment(run)
    for command in (once, run):
        command.add_argument("--strict", action="store_true", help="write nothing while any manifest has a problem")
    once.add_argument("--with-secrets", action="store_true", help="write private keys, too; `run` always does")
    run.add_argument("--host", default="127.0.0.1", help="address of /healthz, /readyz, /metrics and /status")
    run.add_argument("--http-port", type=int, default=ports.METRICS, help=f"port of the same (default {ports.METRICS})")
    run.add_argument(access.FLAG, type=Path, metavar="FILE",
                     help="the page and /status want the bearer token in this file (default: open)")  # fmt: skip
    run.add_argument("--picker-page", action="append", default=[], metavar="URL",
                     help="an endpoint picker's operators' port, for a link on the page; repeat it")  # fmt: skip
    given = parser.parse_args(argv)
    if given.command == "run":
        _check_origin(run, given)
        _check_delivery(run, given)
    if given.command == "status" and bool(given.url) == bool(given.config_dir):
        status.error("give either --config-dir or --url")
    return given


def _add_folders(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument("--config-dir", type=Path, action="append", required=required, default=None, metavar="DIR",
                        help="folder of manifests; a later one replaces objects of an earlier one")  # fmt: skip


def _add_reading(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--log-level", choices=logs.LEVELS, default="info")
    add("--default-picker", type=service_port, metavar="NAMESPACE/SERVICE:PORT",
        help="for pools that name no endpoint picker; without it Envoy balances them")  # fmt: skip
    add("--handled-elsewhere", action="append", default=[], metavar="KIND",
        help="a kind of policy, such as SecurityPolicy, that something else enforces")  # fmt: skip


def _check_origin(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    found = objects(given)
    if found is None:
        parser.error("no objects: give --config-dir, or --source cluster")
    if given.leader_election is not None and not isinstance(found, Cluster):
        parser.error("--leader-election is for --source cluster: nothing is written to folders")
    if given.strict and isinstance(found, Cluster):
        parser.error("--strict is for --config-dir: an API server's objects count each by itself")


def _check_delivery(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    """Refuse what argparse cannot refuse by itself."""
    if given.xds == Delivery.FILES and given.output_dir is None:
        parser.error("--xds files needs --output-dir")
    if given.envoy_image is not None:
        _check_deployment(parser, given)
    elif given.xds == Delivery.GRPC and given.xds_cert_path is None and not is_loopback(given.xds_host):
        parser.error(f"--xds-host {given.xds_host} needs --xds-cert-path: the configuration holds private keys")


def _check_deployment(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if given.xds != Delivery.GRPC or not isinstance(objects(given), Cluster):
        parser.error("--envoy-image needs --source cluster and --xds grpc")
    if given.xds_service is None:
        parser.error("--envoy-image needs --xds-service: Envoys ask there")
    for flag in ("xds_cert_path", "gateway_address", "port_map"):
        if getattr(given, flag):
            parser.error(f"--{flag.replace('_', '-')} is not for --envoy-image: each Gateway has its own")


def _add_delivery(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--xds", choices=tuple(Delivery), default=Delivery.FILES, help="how Envoy is served (default files)")
    add("--output-dir", type=Path, metavar="DIR", help="where Envoy's files go; needed with --xds files")
    add("--envoy-admin", type=host_port, metavar="HOST:PORT",
        help="Envoy's administration port: what it refuses of the files is in the status then")  # fmt: skip
    add("--xds-host", default="127.0.0.1", help="address that Envoys ask at with --xds grpc (default 127.0.0.1)")
    add("--xds-port", type=int, default=ports.XDS_GRPC, help=f"port of the same (default {ports.XDS_GRPC})")
    add("--xds-cert-path", type=Path, metavar="DIR",
        help="tls.crt, tls.key and ca.crt for mutual TLS; needed unless only this host can ask")  # fmt: skip


def _add_deployment(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("an Envoy for each Gateway of a cluster").add_argument
    default = Deployment("", ObjectName("", ""), 0)
    add("--envoy-image", metavar="IMAGE", help="deploy Envoys of this image (default: none, those that are there serve "
        "every Gateway); needs --source cluster and --xds grpc")  # fmt: skip
    add(
        "--xds-service",
        type=service_port,
        metavar="NAMESPACE/SERVICE:PORT",
        help="of this control plane, at which they ask; the Secret SERVICE-xds beside it holds their authority",
    )
    add("--envoy-pull-policy", choices=("Always", "IfNotPresent", "Never"), default=default.pull_policy)
    add("--envoy-service-type", choices=SERVICE_TYPES, default=default.service_type,
        help="of each Gateway's Service, unless a parametersRef says otherwise (default LoadBalancer)")  # fmt: skip
    add("--envoy-replicas", type=positive, default=default.replicas, help="the same of its Pods (default 1)")
    add("--envoy-drain-seconds", type=positive, default=default.drain_seconds, metavar="SECONDS",
        help="for answers in flight when a Pod stops (default 60)")  # fmt: skip
    add("--envoy-log-level", choices=("trace", "debug", "info", "warning", "error"), default=default.log_level)


def _deployment(given: argparse.Namespace) -> Deployment | None:
    if getattr(given, "envoy_image", None) is None:
        return None
    service, port = given.xds_service
    return Deployment(
        given.envoy_image,
        service,
        port,
        pull_policy=given.envoy_pull_policy,
        service_type=given.envoy_service_type,
        replicas=given.envoy_replicas,
        drain_seconds=given.envoy_drain_seconds,
        log_level=given.envoy_log_level,
    )


def _add_rendering(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--envoy-xds-dir", metavar="DIR", help="where Envoy sees --output-dir, if elsewhere")
    add("--listen-address", default=DEFAULT.listen_address, help="address of Envoy's listeners (default 0.0.0.0)")
    add("--gateway-address", action="append", default=[], metavar="ADDRESS",
        help="of the Gateways, as their status shows it (default: --listen-address if it is one)")  # fmt: skip
    add("--port-map", type=port_pair, action="append", default=[], metavar="80=8080", help="serve a port on another")
    bbr = parser.add_mutually_exclusive_group()
    bbr.add_argument(
        "--bbr-address", type=host_port, default=DEFAULT.bbr, metavar="HOST:PORT", help="body-based router"
    )
    add("--bbr-workers", type=count, default=1, metavar="N", help="as its own --workers (default 1)")
    parser.add_argument(
        "--fused", action="store_true", help="the router and every picker are one process (epp --fused)"
    )
    parser.add_argument("--router-authenticates", action="store_true",
        help="the router has a keys file (bbr --keys-file): let it see every request")  # fmt: skip
    bbr.add_argument("--no-bbr", dest="bbr_address", action="store_const", const=None, help="render none")
    add("--tracing-collector", type=host_port, metavar="HOST:PORT",
        help="let Envoy send traces there, by OTLP over gRPC (default: no traces)")  # fmt: skip
    add("--tracing-sampling", type=percent, default=DEFAULT.tracing_sampling, metavar="PERCENT",
        help="of the requests without a parent (default 10)")  # fmt: skip
    add("--usage-extraction", choices=("on", "off"), default="on", help="let Envoy read token usage from answers")
    add("--access-log", default="", metavar="FILE",
        help="let Envoy write a line of JSON for each request, such as /dev/stdout (default: none)")  # fmt: skip
    add("--body-limit", type=positive, default=DEFAULT.body_limit, metavar="BYTES", help="of a request; over it 413")
    add("--client-explanations", choices=("on", "off"), default="off",
        help="let clients ask with x-pointsman-explain why an endpoint was picked (default off)")  # fmt: skip
    add("--http10", choices=("on", "off"), help="serve HTTP/1.0 (default: on where --listen-address is loopback)")
    add("--upload-timeout", type=float, default=DEFAULT.upload_timeout, metavar="SECONDS",
        help="for a request to arrive whole; then 408 (default 60)")  # fmt: skip
    add("--stream-idle-timeout", type=float, default=DEFAULT.stream_idle_timeout, metavar="SECONDS",
        help="without a byte either way (default 900)")  # fmt: skip
    add("--quota-address", type=host_port, metavar="HOST:PORT",
        help="of the service that counts quotas: a picker's gRPC port (default: quotas are not enforced)")  # fmt: skip
    add(TOKEN_FLAG, dest="quota_token", type=quota_token, metavar="FILE",
        help="as the picker's flag: Envoy brings the token in the file's first line (default: none)")  # fmt: skip
    add("--quota-failure-mode", choices=("open", "closed"), default="open",
        help="whether requests pass while quotas cannot be counted (default open)")  # fmt: skip
    add("--picker", choices=tuple(PickerTransport), default=DEFAULT.picker, help="how Envoy asks the endpoint picker")
    add("--picker-body", choices=tuple(PickerBody), default=None,
        help="how a picker over ext_proc gets the body of a request, unless its pool says (default: buffered from "
        "folders, full-duplex from an API server, as the Endpoint Picker Protocol has it)")  # fmt: skip
    add("--picker-tls", choices=("plaintext", "tls"), default=None,
        help="to a picker without a DestinationRule; `tls` verifies no certificate (default: plaintext from folders, "
        "tls from an API server, where pickers serve it by default)")  # fmt: skip
    add("--pickers-share-state", action="store_true",
        help="a picker's replicas share a Redis; otherwise several are asked by ext_proc alone")  # fmt: skip
    add("--picker-http-port", type=int, default=DEFAULT.picker_http_port, help="of the picker's HTTP transport")
    add("--picker-workers", type=count, default=1, metavar="N", help="as the pickers' own --workers (default 1)")
    add("--picker-timeout", type=float, default=DEFAULT.picker_timeout, metavar="SECONDS",
        help="until a silent picker counts as failed (default 2)")  # fmt: skip
    add("--picker-http-wait", type=float, default=DEFAULT.picker_http_wait, metavar="SECONDS",
        help="in the queue of a picker over HTTP (default 10), and until it counts as hung")  # fmt: skip


def quota_token(text: str) -> str | None:
    """The token in a file. Raises ArgumentTypeError."""
    try:
        return access.token_in(Path(text), TOKEN_FLAG)
    except access.TokenError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def objects(given: argparse.Namespace) -> Origin | None:
    """Where objects come from; folders, for commands other than `run`."""
    folders = tuple(getattr(given, "config_dir", None) or ())
    return origin(given, folders) if given.command == "run" else Folders(folders)


def options(given: argparse.Namespace) -> Options:
    """What the command line says about rendering."""
    output_dir = getattr(given, "output_dir", None) or Path(DEFAULT.xds_dir)
    is_cluster = isinstance(objects(given), Cluster)
    return Options(
        xds=Delivery(getattr(given, "xds", Delivery.FILES)),
        xds_dir=given.envoy_xds_dir or str(output_dir.absolute()),
        listen_address=given.listen_address,
        addresses=tuple(given.gateway_address),
        port_map=dict(given.port_map),
        bbr=given.bbr_address,
        bbr_workers=given.bbr_workers,
        picker_workers=given.picker_workers,
        fused=given.fused,
        router_authenticates=given.router_authenticates,
        tracing_collector=given.tracing_collector,
        tracing_sampling=given.tracing_sampling,
        usage_extraction=given.usage_extraction == "on",
        access_log=given.access_log,
        body_limit=given.body_limit,
        pickers_share_state=given.pickers_share_state,
        client_explanations=given.client_explanations == "on",
        http10=None if given.http10 is None else given.http10 == "on",
        upload_timeout=given.upload_timeout,
        stream_idle_timeout=given.stream_idle_timeout,
        picker=PickerTransport(given.picker),
        picker_body=PickerBody(given.picker_body or (PickerBody.FULL_DUPLEX if is_cluster else PickerBody.BUFFERED)),
        picker_tls=is_cluster if given.picker_tls is None else given.picker_tls == "tls",
        by_class=is_cluster,
        deployment=_deployment(given),
        default_picker=given.default_picker,
        handled_elsewhere=frozenset(given.handled_elsewhere),
        quotas=given.quota_address,
        quota_token=given.quota_token,
        quotas_fail_closed=given.quota_failure_mode == "closed",
        picker_http_port=given.picker_http_port,
        picker_timeout=given.picker_timeout,
        picker_http_wait=given.picker_http_wait,
    )


def port_pair(text: str) -> tuple[int, int]:
    """`80=8080`."""
    left, _, right = text.partition("=")
    if not (left.isdecimal() and right.isdecimal() and 0 < int(left) < 65536 and 0 < int(right) < 65536):
        raise argparse.ArgumentTypeError(f"expected two ports such as 80=8080, got {text!r}")
    return int(left), int(right)


def percent(text: str) -> float:
    """0 to 100."""
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 100:
        raise argparse.ArgumentTypeError(f"expected 0 to 100, got {text!r}")
    return found


def host_port(text: str) -> tuple[str, int]:
    """`bbr:9004`, `[::1]:9004`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"expected an address such as bbr:9004, got {text!r}")
    return host.strip("[]"), int(port)


def service_port(text: str) -> tuple[ObjectName, int]:
    """`default/epp:9002`."""
    service, _, port = text.rpartition(":")
    namespace, _, name = service.partition("/")
    if not (is_name(namespace) and is_name(name) and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"expected a Service such as default/epp:9002, got {text!r}")
    return ObjectName(namespace, name), int(port)


def object_name(text: str) -> ObjectName:
    """`default/pointsman`."""
    namespace, _, name = text.partition("/")
    if not (is_name(namespace) and is_name(name)):
        raise argparse.ArgumentTypeError(f"expected a name such as default/pointsman, got {text!r}")
    return ObjectName(namespace, name)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
