"""`pointsman up DIR_OR_FILE…`: a cluster's YAML on this host, with simulators where the cluster would run servers.

The manifests are served as they are. A folder that is laid over them holds what a cluster would add: the Pods that run,
and where the picker is.
"""

import json
import subprocess
from argparse import Namespace
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pointsman import banner
from pointsman.cluster import files, overlay
from pointsman.cluster.addresses import Addresses, NoAddressError
from pointsman.cluster.demand import backends_in_use
from pointsman.cluster.first_request import first_request
from pointsman.cluster.listeners import bound
from pointsman.cluster.picker import configurations
from pointsman.cluster.process import process_of
from pointsman.cluster.reading import workloads_of
from pointsman.cluster.servers import Server
from pointsman.cluster.simulation import Cluster, Simulation, simulate
from pointsman.run import ports_of, serve, settings_of, stop_command
from processes import plan
from processes.plan import HOST, Layout, Process, Settings
from processes.preflight import StartError

_CHECKS_AT_ONCE: Final = 4


def serve_manifests(given: Namespace, layout: Layout) -> int:
    """Run until it is stopped; `StartError` before anything runs."""
    try:
        read = files.read(folders := files.folders_of(given.manifests, layout.run))
        cluster = _cluster(read)
        found = simulate(cluster, Addresses(files.is_free), layout.run / "files")
    except (files.UnreadableError, NoAddressError) as error:
        raise StartError(str(error)) from None
    if found.problems:
        raise StartError("\n".join(found.problems))
    ports = replace(ports_of(given), simulators=())
    laid = layout.run / "simulated"
    files.write(laid, [
        *overlay.documents_of(found.servers),
        *overlay.pickers(cluster.manifests, HOST, ports.epp_grpc),
        *overlay.backends(found.backends, read.documents),
    ])  # fmt: skip
    settings = settings_of(given, layout, ports, (*folders, laid))
    config, notes = _picker_config(given, cluster, layout)
    settings = replace(
        settings, simulators=(), probe=None, epp_config=config or settings.epp_config,
        listeners=bound(cluster.manifests, ports, given.port_offset),
        servers=_processes((*found.servers, *found.backends.values()), layout),
    )  # fmt: skip
    settings = replace(settings, picker_tls=_wants_tls(_status(settings)))
    _check_arguments(settings)
    found = replace(found, notes=(*found.notes, *notes))
    for line in () if given.json else banner.of_simulation(found.lines, found.notes):
        print(line, flush=True)  # noqa: T201
    return serve(given, settings, _banner(given, settings, cluster, found), found)


def _cluster(read: files.Read) -> Cluster:
    if not read.manifests.gateways:
        raise files.UnreadableError("no Gateway among these manifests, so nothing would be served: add one to them")
    workloads, problems = workloads_of(read.documents)
    if problems:
        raise files.UnreadableError("\n".join(problem.exact for problem in problems))
    return Cluster(read.manifests, workloads, files.reachable(backends_in_use(read.manifests)))


def _processes(servers: Sequence[Server], layout: Layout) -> tuple[Process, ...]:
    for server in servers:
        for path, text in server.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    flat = [(server, port) for server in servers for port in server.ports]
    return tuple(process_of(server, port, number, layout.binaries) for number, (server, port) in enumerate(flat))


def _picker_config(given: Namespace, cluster: Cluster, layout: Layout) -> tuple[Path | None, tuple[str, ...]]:
    """The configuration that the manifests start their picker with, unless the command line names one."""
    found = {} if given.epp_config else configurations(cluster.workloads, cluster.manifests)
    if not found:
        return None, ()
    owner, text = next(iter(found.items()))
    path = layout.run / "endpoint-picker.yaml"
    path.write_text(text)
    notes = [f"the picker's configuration is that of {owner}"]
    others = [name for name, other in found.items() if other != text]
    if others:
        notes.append(f"one picker serves all pools here, and {', '.join(others)} wants another: see --epp-config")
    return path, tuple(notes)


def _status(settings: Settings) -> Mapping[str, Any]:
    """What the control plane makes of the manifests."""
    program, _, *options = plan.render_arguments(settings)
    command = [program, "status", "-o", "json", *_without_output(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    try:
        found: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise StartError(done.stderr.strip() or f"controlplane status: exit status {done.returncode}") from None
    return found


def _without_output(options: Sequence[str]) -> list[str]:
    at = options.index("--output-dir")
    return [*options[:at], *options[at + 2 :]]


def _wants_tls(status: Mapping[str, Any]) -> bool:
    """Whether the manifests order TLS to pickers. There is one picker here, with a certificate that it makes itself."""
    ways = {pool["pickerSecurity"] for pool in status["pools"] if pool["pickerSecurity"]}
    ordered = sorted(way for way in ways if "--picker-tls" not in way)
    for way in ordered:
        if way.startswith("verified"):
            raise StartError(
                f"{way}: the picker here makes its own certificate: set insecureSkipVerify, or leave it away"
            )
    by_tls = [way for way in ordered if not way.startswith("plaintext")]
    if by_tls and len(by_tls) < len(ordered):
        raise StartError(f"one picker serves all pools here, and these differ: {'; '.join(ordered)}: order one of them")
    return bool(by_tls)


def _check_arguments(settings: Settings) -> None:
    """Let the simulators read their arguments, before any of them is started."""
    commands = {_own_arguments(each): each for each in settings.servers if each.arguments[1:2] == ("serve",)}
    with ThreadPoolExecutor(_CHECKS_AT_ONCE) as threads:
        complaints = [complaint for complaint in threads.map(_complaint, commands.values()) if complaint]
    if complaints:
        raise StartError("\n".join(complaints))


def _own_arguments(process: Process) -> tuple[str, ...]:
    """Without what differs between replicas."""
    return tuple(word for word, before in zip(process.arguments, ("", *process.arguments), strict=False)
                 if before not in ("--host", "--seed"))  # fmt: skip


def _complaint(process: Process) -> str | None:
    program, _, *options = process.arguments
    done = subprocess.run((program, "check", *options), capture_output=True, text=True, check=False)  # noqa: S603
    if not done.returncode:
        return None
    return f"{process.environment['POD_NAME']}: {done.stderr.strip()}: change the container's arguments"


def _banner(given: Namespace, settings: Settings, cluster: Cluster, found: Simulation) -> str:
    servers = (*found.servers, *found.backends.values())
    models = tuple(model for server in servers for model in server.models)
    return banner.with_manifests(settings, stop_command(given), first_request(cluster.manifests, models))
