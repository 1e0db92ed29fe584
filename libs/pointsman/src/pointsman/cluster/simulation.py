"""Everything that is simulated for a folder of manifests, and what is said of it. Pure.

A workload whose Pods a pool selects runs as that many servers. What has no server at all gets one simulator, so that
each route leads somewhere; both are said, and never pass for servers that exist.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.kube.objects import AIServiceBackend, Manifests, ObjectName
from gateway.schema.problems import Problem
from gateway.wire import protocol
from pointsman.cluster.addresses import Addresses
from pointsman.cluster.demand import (
    DEFAULT_PORT,
    Demand,
    demands,
    has_ai_backends,
    served_services,
    unserved_ai_backends,
)
from pointsman.cluster.models import models_of_backend, models_of_pool
from pointsman.cluster.programs import Role
from pointsman.cluster.servers import Place, Places, Server, chosen, own_ports, servers_of, stand_in
from pointsman.cluster.workload import Workload

MAX_SERVERS: Final = 64  # processes of some 60 MB each; more than a laptop has use for


@dataclass(frozen=True, slots=True)
class Simulation:
    """`lines` say what is simulated, `notes` what is not as in a cluster. With `problems` nothing can run."""

    servers: tuple[Server, ...] = ()
    backends: Mapping[ObjectName, Server] = field(default_factory=dict)  # by the AIServiceBackend that it stands in for
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """What was read: the objects, what would run Pods, and whether each Backend can be reached."""

    manifests: Manifests
    workloads: tuple[Workload, ...]
    reachable: Mapping[ObjectName, bool]


@dataclass(frozen=True, slots=True)
class _Part:
    """What runs for one object, and what is said of it."""

    servers: tuple[Server, ...]
    line: str
    notes: tuple[str, ...] = ()


def simulate(cluster: Cluster, addresses: Addresses, folder: Path) -> Simulation:
    """The servers to run. The folder is for files that their arguments name."""
    manifests, wanted = cluster.manifests, demands(cluster.manifests)
    demanded = [(each, found) for each in cluster.workloads if (found := _demanding(each, wanted))]
    problems = tuple(_problems(demanded, manifests))
    if problems:
        return Simulation(problems=problems)
    runs = [(each, found) for each, found in demanded if chosen(each, manifests)]  # a Service may have others
    covered = {(demand.kind, demand.id) for _, found in runs for demand in found}
    parts = [_of_workload(each, found, addresses, folder, manifests) for each, found in runs]
    for demand in wanted:
        is_covered = (demand.kind, demand.id) in covered or has_ai_backends(demand, manifests)
        if demand.is_of_pool and not is_covered:
            parts.append(_for_pool(demand, addresses, manifests))
    served = served_services(manifests) | {name for kind, name in covered if kind == "Service"}
    unserved = unserved_ai_backends(manifests, cluster.reachable, served)
    backends = {found.meta.id: _for_backend(found, addresses, manifests) for found in unserved}
    return Simulation(
        servers=tuple(server for part in parts for server in part.servers),
        backends={name: part.servers[0] for name, part in backends.items()},
        lines=tuple(part.line for part in (*parts, *backends.values())),
        notes=tuple(note for part in parts for note in part.notes),
    )


def _demanding(workload: Workload, wanted: Sequence[Demand]) -> tuple[Demand, ...]:
    labels = workload.labels_of(0)
    return tuple(
        demand for demand in wanted if demand.id.namespace == workload.id.namespace and demand.selector.matches(labels)
    )


def _problems(runs: Sequence[tuple[Workload, Sequence[Demand]]], manifests: Manifests) -> Iterator[str]:
    for workload, found in runs:
        pool = next((demand for demand in found if demand.is_of_pool), None)
        if pool is not None and chosen(workload, manifests) is None:
            yield str(Problem(workload.place, "", _unknown(workload, pool)))
    count = sum(workload.replicas for workload, _ in runs)
    if count > MAX_SERVERS:
        yield f"{count} servers would run here, {MAX_SERVERS} at most can: lower `replicas`"


def _unknown(workload: Workload, pool: Demand) -> str:
    images = ", ".join(container.image or container.name for container in workload.template.containers) or "nothing"
    return (
        f"{workload} runs {images}, which is neither vLLM nor a simulator nor an echo server: add an EndpointSlice "
        f"with the labels of {pool} and the addresses of servers that run"
    )


def _of_workload(
    workload: Workload, found: Sequence[Demand], addresses: Addresses, folder: Path, manifests: Manifests
) -> _Part:
    ports, notes = _ports(workload, found, manifests)
    places = Places(addresses.take(workload.replicas, ports), ports, folder)
    models = _models_wanted(found, manifests) or (workload.id.name,)
    servers = tuple(servers_of(workload, places, models, manifests))
    return _Part(servers, _line(str(workload), servers) if servers else f"{workload}: no replica", notes)


def _ports(
    workload: Workload, found: Sequence[Demand], manifests: Manifests
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Where its servers listen: where they are asked; and a note where a cluster's would not."""
    container, program = chosen(workload, manifests) or (None, None)
    assert container is not None
    assert program is not None
    named = {port.name: port.port for port in container.ports}
    wanted = [named.get(port, DEFAULT_PORT) if isinstance(port, str) else port for each in found for port in each.ports]
    ports = tuple(dict.fromkeys(wanted)) or (DEFAULT_PORT,)
    is_echo = program.role is Role.ECHO
    written = tuple(port.port for port in container.ports) if is_echo else own_ports(program.arguments)
    if not written or set(ports) & set(written):
        return ports, ()
    note = (
        f"{workload} listens on port {', '.join(map(str, written))}, and {found[0]} asks at "
        f"{', '.join(map(str, ports))}, where its stand-ins listen, too; in a cluster it would get no answer"
    )
    return (*ports, *written), (note,)


def _models_wanted(found: Sequence[Demand], manifests: Manifests) -> tuple[str, ...]:
    return tuple(model for demand in found if demand.is_of_pool for model in models_of_pool(demand.id, manifests))


def _for_pool(demand: Demand, addresses: Addresses, manifests: Manifests) -> _Part:
    ports = [port for port in demand.ports if isinstance(port, int)] or [DEFAULT_PORT]
    models = models_of_pool(demand.id, manifests) or (demand.id.name,)
    labels = {**demand.selector.match_labels, protocol.SIMULATED_LABEL: "true"}
    server = stand_in(demand.id, labels, Place(addresses.take(1, ports)[0], ports[0]), models)
    return _Part((server,), f"{_line(str(demand), [server])}: nothing here runs its servers")


def _for_backend(found: AIServiceBackend, addresses: Addresses, manifests: Manifests) -> _Part:
    name = found.meta.id
    models = models_of_backend(name, manifests) or (name.name,)
    server = stand_in(name, {}, Place(addresses.take(1, (DEFAULT_PORT,))[0], DEFAULT_PORT), models)
    return _Part((server,), f"{_line(f'AIServiceBackend {name}', [server])}: it leads nowhere")


def _line(what: str, servers: Sequence[Server]) -> str:
    first, last = servers[0], servers[-1]
    noun = "echo server" if first.role is Role.ECHO else "simulator"
    plural = "" if len(servers) == 1 else "s"
    models = f" of {', '.join(first.models)}" if first.models else ""
    until = f" to {last.address}" if len(servers) > 1 else ""
    return f"{what}: {len(servers)} {noun}{plural}{models} on {first.address}{until}:{first.ports[0]}"
