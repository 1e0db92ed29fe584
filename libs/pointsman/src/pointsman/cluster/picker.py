"""What the picker Deployments of a cluster's YAML say of the one picker that runs here. Pure."""

from collections.abc import Mapping, Sequence

from gateway.kube.objects import Manifests, ObjectName
from pointsman.cluster.environment import Pod, environment_of
from pointsman.cluster.mounts import mounted
from pointsman.cluster.programs import Role, program_of
from pointsman.cluster.workload import Container, Workload


def configurations(workloads: Sequence[Workload], manifests: Manifests) -> Mapping[str, str]:
    """The text of each EndpointPickerConfig that a workload starts a picker with, by the workload's name."""
    found = {}
    for workload in workloads:
        for container in workload.template.containers:
            text = _configuration(workload, container, manifests)
            if text is not None:
                found[str(workload)] = text
    return found


def _configuration(workload: Workload, container: Container, manifests: Manifests) -> str | None:
    pod = Pod(ObjectName(workload.id.namespace, workload.pod_name(0)), workload.labels_of(0), "", workload.template)
    program = program_of(container, environment_of(container, pod, manifests))
    if program is None or program.role is not Role.PICKER:
        return None
    files = mounted(container, workload.template, workload.id.namespace, manifests)
    text = _value(program.arguments, "config-text")
    return text or files.get(_value(program.arguments, "config-file"))


def _value(arguments: Sequence[str], option: str) -> str:
    for index, word in enumerate(arguments):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == option:
            return value if equals else next(iter(arguments[index + 1 : index + 2]), "")
    return ""
