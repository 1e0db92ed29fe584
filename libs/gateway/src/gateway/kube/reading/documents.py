"""Located data becomes documents: Kubernetes objects by kind and name, not yet read further. Pure.

Every object has apiVersion, kind and metadata; a List holds objects as items.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gateway.kube.objects import (
    DEFAULT_NAMESPACE,
    INFERENCE_X_GROUP,
    LLM_D_GROUP,
    TTFT_LIMIT_ANNOTATION,
    WEBSOCKETS_ANNOTATION,
    Meta,
    ObjectName,
)
from gateway.schema import spelling
from gateway.schema.fields import Fields
from gateway.schema.paths import join
from gateway.schema.problems import Findings, Origin
from gateway.schema.values import MAX_INTEGER, Value
from gateway.schema.wording import what
from gateway.schema.yamltext import Located

_SWITCH: Final = ("true", "false")
# Kinds move between these groups and stay what they are, so that an overlay may replace an object under either.
_MOVED_GROUPS: Final = MappingProxyType({LLM_D_GROUP: INFERENCE_X_GROUP})

Identity = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Document:
    """One object as written. `value` is all of it; its origin names the object, its findings are the object's own."""

    value: Value
    api_version: str
    kind: str
    meta: Meta

    @property
    def group(self) -> str:
        """The API group: `gateway.networking.k8s.io`; empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def identity(self) -> Identity:
        """Two documents of one identity are the same object. The version is no part of it, nor a group that moved."""
        return (_MOVED_GROUPS.get(self.group, self.group), self.kind, *self.meta.id)


def documents(located: Located, file: str, findings: Findings) -> Iterator[Document]:
    """The objects of one YAML document: none for an empty one, several for a List. What is no object is a finding."""
    yield from _objects(located.data, Origin(file, located.marks), findings)


def cluster_document(data: Mapping[str, object]) -> Document | None:
    """An object as an API server returned it, or None. Its problems are placed at the object, for it has no line."""
    found = next(_objects(data, Origin(""), Findings()), None)
    if found is None:
        return None
    value = Value(data, "", Origin(found.value.origin.subject), Findings())
    return Document(value, found.api_version, found.kind, _meta(Fields(value), found.api_version))


def _objects(data: object, origin: Origin, findings: Findings) -> Iterator[Document]:
    if data is None:
        return
    if not isinstance(data, Mapping):
        findings.problems.append(origin.problem("", f"expected an object with apiVersion and kind, got {what(data)}"))
        return
    if not data.keys() & {"apiVersion", "kind"}:
        findings.problems.append(origin.problem("", _fragment(data)))
        return
    top = Fields(Value(data, "", origin, findings))
    api_version, kind = top.text("apiVersion", required=True), top.text("kind", required=True)
    if not api_version or not kind:
        return
    items = data.get("items")
    if kind.endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            prefix = join(join(origin.prefix, "items"), index)
            yield from _objects(item, Origin(origin.source, origin.marks, prefix=prefix), findings)
        return
    metadata = top.raw("metadata")
    found = metadata if isinstance(metadata, Mapping) else {}
    name = ObjectName(str(found.get("namespace") or DEFAULT_NAMESPACE), str(found.get("name") or ""))
    named = Origin(origin.source, origin.marks, f"{kind} {name}", origin.prefix)
    value = Value(data, "", named, Findings())
    yield Document(value, api_version, kind, _meta(Fields(value), api_version))


def _fragment(data: Mapping[str, object]) -> str:
    shown = ", ".join(str(key) for key in list(data)[:3])
    return f"a fragment with {shown}, and no object: apiVersion, kind and metadata are missing around it"


def _meta(top: Fields, api_version: str) -> Meta:
    metadata = top.child("metadata") or Fields(top.at("metadata"))
    written = metadata.strings("annotations")
    has_settings = TTFT_LIMIT_ANNOTATION in written or WEBSOCKETS_ANNOTATION in written
    settings = metadata.child("annotations") if has_settings else None
    return Meta(
        id=ObjectName(metadata.text("namespace") or DEFAULT_NAMESPACE, metadata.text("name")),
        labels=metadata.strings("labels"),
        annotations=written,
        created=metadata.text("creationTimestamp"),
        uid=metadata.text("uid"),
        generation=metadata.integer("generation", 0, MAX_INTEGER),
        api_version=api_version,
        resource_version=metadata.text("resourceVersion"),
        deleted=metadata.text("deletionTimestamp"),
        first_token=settings.duration(TTFT_LIMIT_ANNOTATION) if settings is not None else None,
        websockets=settings is not None and settings.choice(WEBSOCKETS_ANNOTATION, _SWITCH, "false") == "true",
        place=top.at("").place,
    )


def check_name(document: Document) -> bool:
    """Whether an object has a name; one that is spelt wrong is reported."""
    for key, name in (("name", document.meta.id.name), ("namespace", document.meta.id.namespace)):
        field = document.value.member("metadata").member(key)
        if not name:
            field.problem("required")
            return False
        if not spelling.is_name(name):
            field.problem(f"not a name: {what(name)}")
    return True
