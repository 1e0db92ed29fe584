"""The servers that stand for a workload's Pods: arguments, variables and addresses of each. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.kube.objects import ContainerPort, Manifests, ObjectName
from gateway.wire import protocol
from pointsman.cluster.environment import Pod, environment_of
from pointsman.cluster.mounts import mounted, with_files
from pointsman.cluster.programs import Program, Role, program_of
from pointsman.cluster.workload import Container, Workload


@dataclass(frozen=True, slots=True)
class Server:
    """One server on an address of its own, on each of these ports. `files` are what its arguments name."""

    pod: ObjectName
    labels: Mapping[str, str]
    address: str
    ports: tuple[int, ...]
    role: Role
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    container_ports: tuple[ContainerPort, ...] = ()
    files: Mapping[Path, str] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """What it serves, by its arguments."""
        return served_models(self.arguments)


def chosen(workload: Workload, manifests: Manifests) -> tuple[Container, Program] | None:
    """The container that serves, and its program; None where the table knows none of them."""
    pod = _pod(workload, 0, "")
    for container in workload.template.containers:
        found = program_of(container, environment_of(container, pod, manifests))
        if found is not None and found.role is not Role.PICKER:
            return container, found
    return None


@dataclass(frozen=True, slots=True)
class Places:
    """Where the servers of a workload listen, and the folder for files that their arguments name."""

    addresses: Sequence[str]
    ports: tuple[int, ...]
    folder: Path


def servers_of(workload: Workload, places: Places, models: Sequence[str], manifests: Manifests) -> Iterator[Server]:
    """One for each address. `models` are for a container that names none."""
    found = chosen(workload, manifests)
    assert found is not None  # asked before
    container, _ = found
    files = mounted(container, workload.template, workload.id.namespace, manifests)
    for index, address in enumerate(places.addresses):
        pod = _pod(workload, index, address)
        environment = environment_of(container, pod, manifests)
        program = program_of(container, environment)
        assert program is not None
        arguments, copies = with_files(program.arguments, files, places.folder / pod.id.name)
        if program.role is Role.MODEL_SERVER and not served_models(arguments):
            own = environment.get("SIM_MODEL")  # of llm-d's simulator
            arguments = (*arguments, *_serving((own,) if own else models))
        yield Server(
            pod.id, pod.labels, address, places.ports, program.role, arguments,
            {"POD_NAME": pod.id.name, "POD_NAMESPACE": pod.id.namespace, **environment}, container.ports, copies,
        )  # fmt: skip


class Place(NamedTuple):
    """Where one server listens."""

    address: str
    port: int


def stand_in(name: ObjectName, labels: Mapping[str, str], place: Place, models: Sequence[str]) -> Server:
    """A simulator of these models, where nothing says what would run."""
    arguments = _serving(models)
    environment = {"POD_NAME": name.name, "POD_NAMESPACE": name.namespace}
    return Server(name, labels, place.address, (place.port,), Role.MODEL_SERVER, arguments, environment)


def served_models(arguments: Sequence[str]) -> tuple[str, ...]:
    """The names under which a command line serves its model."""
    named = _values(arguments, "served-model-name")
    if named:
        return named
    if arguments and not arguments[0].startswith("-"):
        return (arguments[0],)
    return _values(arguments, "model")[:1]


def own_ports(arguments: Sequence[str]) -> tuple[int, ...]:
    """The port that a command line names, if it does."""
    return tuple(int(word) for word in _values(arguments, "port")[-1:] if word.isdecimal())


def _values(arguments: Sequence[str], option: str) -> tuple[str, ...]:
    """The words after an option, or what stands in one with it."""
    found: list[str] = []
    words = iter(range(len(arguments)))
    for index in words:
        name, equals, value = arguments[index].partition("=")
        if not name.startswith("--") or name[2:].replace("_", "-") != option:
            continue
        if equals:
            found.append(value)
            continue
        for word in arguments[index + 1 :]:
            if word.startswith("-"):
                break
            found.append(word)
    return tuple(found)


def _serving(models: Sequence[str]) -> tuple[str, ...]:
    return ("--model", models[0], "--served-model-name", *models)


def _pod(workload: Workload, index: int, address: str) -> Pod:
    name = ObjectName(workload.id.namespace, workload.pod_name(index))
    labels = {**workload.labels_of(index), protocol.SIMULATED_LABEL: "true"}
    return Pod(name, labels, address, workload.template)
