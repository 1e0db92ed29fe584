"""Documents become workloads. Pure; what is wrong is a problem with file, line and field."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gateway.kube.objects import ContainerPort
from gateway.kube.reading.documents import Document
from gateway.kube.reading.parts import MAX_PORT
from gateway.kube.resolution.kaito import INFERENCE_SET_LABEL, WORKSPACE_LABEL
from gateway.schema.fields import Fields
from gateway.schema.problems import Problem
from pointsman.cluster.workload import Container, Mount, Source, Template, Variable, Workload

_APPS: Final = "apps"
_MOST: Final = 1000  # items of any list in a template; ten times what is usual
MAX_REPLICAS: Final = 100_000  # of one workload as written; how many run here has a bound of its own
# Where KAITO's images keep a model, as their servers list it.
WEIGHTS: Final = "/workspace/vllm/weights"

_Reader = Callable[[Document, Fields], Workload | None]


def workloads_of(documents: Iterable[Document]) -> tuple[tuple[Workload, ...], tuple[Problem, ...]]:
    """Everything that runs Pods, and what is wrong with it. A later document replaces an earlier one of its name."""
    found: dict[object, Workload] = {}
    problems: list[Problem] = []
    for document in documents:
        reader = _READERS.get((document.group, document.kind))
        if reader is None:
            continue
        workload = reader(document, Fields(document.value))
        problems += document.value.findings.problems
        found.pop(document.identity, None)
        if workload is not None:
            found[document.identity] = workload
    return tuple(found.values()), tuple(problems)


def _of_spec(document: Document, top: Fields) -> Workload | None:
    spec = top.child("spec")
    template = spec.child("template") if spec else None
    if spec is None or template is None:
        return None
    return _workload(document, _replicas(spec), _template(template))


def _leaders(document: Document, top: Fields) -> Workload | None:
    spec = top.child("spec")
    groups = spec.child("leaderWorkerTemplate") if spec else None
    if spec is None or groups is None:
        return None
    template = groups.child("leaderTemplate") or groups.child("workerTemplate")
    return _workload(document, _replicas(spec), _template(template)) if template is not None else None


def _pod(document: Document, top: Fields) -> Workload | None:
    """A Pod that has an address runs elsewhere."""
    status = top.child("status")
    if status is not None and status.has("podIP"):
        return None
    return _workload(document, 1, _template(top))


def _workspace(document: Document, top: Fields) -> Workload | None:
    return _kaito(document, top, 1, {WORKSPACE_LABEL: document.meta.id.name})


def _inference_set(document: Document, top: Fields) -> Workload | None:
    spec = top.child("spec")
    template = spec.child("template") if spec else None
    if spec is None or template is None:
        return None
    return _kaito(document, template, _replicas(spec), {INFERENCE_SET_LABEL: document.meta.id.name})


def _kaito(document: Document, top: Fields, replicas: int, labels: Mapping[str, str]) -> Workload | None:
    """A preset runs as the server that KAITO starts for it; a Pod template as it is written."""
    inference = top.child("inference")
    if inference is None:
        return None
    written = inference.child("template")
    if written is not None:
        found = _template(written)
        template = Template({**found.labels, **labels}, found.containers, found.annotations, found.config_volumes)
        return _workload(document, replicas, template)
    preset = inference.child("preset")
    if preset is None:
        return None
    name = preset.text("name", required=True)
    sources = (item.child("source") for item in inference.children("adapters", _MOST))
    adapters = [f"{source.text('name')}=/mnt/adapter/{source.text('name')}" for source in sources if source]
    lora = ("--enable-lora", "--lora-modules", *adapters) if adapters else ()
    command = ("vllm", "serve", WEIGHTS, "--served-model-name", name, *lora)
    return _workload(document, replicas, Template(labels, (Container("preset", "", command),)))


def _workload(document: Document, replicas: int, template: Template) -> Workload:
    return Workload(document.kind, document.meta.id, replicas, template, document.value.place)


def _replicas(spec: Fields) -> int:
    found = spec.integer("replicas", 0, MAX_REPLICAS, 1)
    return 1 if found is None else found


def _template(template: Fields) -> Template:
    metadata, spec = template.child("metadata"), template.child("spec")
    return Template(
        labels=metadata.strings("labels") if metadata else {},
        containers=tuple(_container(item) for item in spec.children("containers", _MOST)) if spec else (),
        annotations=metadata.strings("annotations") if metadata else {},
        config_volumes=dict(_config_volumes(spec)) if spec else {},
        service_account=(spec.text("serviceAccountName") if spec else "") or "default",
    )


def _config_volumes(spec: Fields) -> Iterator[tuple[str, str]]:
    for volume in spec.children("volumes", _MOST):
        config_map = volume.child("configMap")
        if config_map is not None:
            yield volume.text("name"), config_map.text("name")


def _container(item: Fields) -> Container:
    return Container(
        name=item.text("name"),
        image=item.text("image"),
        command=_words(item, "command"),
        args=_words(item, "args"),
        env=tuple(_variable(each) for each in item.children("env", _MOST)),
        env_from=tuple(_sources(item)),
        ports=tuple(
            ContainerPort(port.text("name"), port.integer("containerPort", 1, MAX_PORT, required=True) or 0, "TCP")
            for port in item.children("ports", _MOST)
        ),
        mounts=tuple(
            Mount(each.text("name"), each.text("mountPath"), each.text("subPath"))
            for each in item.children("volumeMounts", _MOST)
        ),
    )


def _words(item: Fields, key: str) -> tuple[str, ...]:
    """Of any length: a script is one word."""
    return tuple(text for word in item.items(key) if (text := word.text()) is not None)


def _variable(item: Fields) -> Variable:
    written = item.value("value")
    value = (written.text() or "") if written is not None else ""
    source = item.child("valueFrom")
    return Variable(item.text("name"), value, _source(source) if source else None)


def _source(item: Fields) -> Source | None:
    field_ref = item.child("fieldRef")
    if field_ref is not None:
        return Source("fieldRef", field_ref.text("fieldPath"))
    for kind in ("configMapKeyRef", "secretKeyRef"):
        ref = item.child(kind)
        if ref is not None:
            return Source(kind, ref.text("name"), ref.text("key"))
    return None


def _sources(item: Fields) -> Iterator[Source]:
    for each in item.children("envFrom", _MOST):
        for kind in ("configMapRef", "secretRef"):
            ref = each.child(kind)
            if ref is not None:
                yield Source(kind, ref.text("name"))


_READERS: Final[Mapping[tuple[str, str], _Reader]] = MappingProxyType({
    (_APPS, "Deployment"): _of_spec,
    (_APPS, "StatefulSet"): _of_spec,
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): _leaders,
    ("", "Pod"): _pod,
    ("kaito.sh", "Workspace"): _workspace,
    ("kaito.sh", "InferenceSet"): _inference_set,
})  # fmt: skip
