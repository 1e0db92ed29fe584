"""What the readers of several kinds share. Pure."""

from collections.abc import Sequence
from typing import Final

from gateway.kube.objects import BackendRef, Meta, ObjectName, RouteFilter
from gateway.schema.fields import Fields

MAX_PORT: Final = 65535
MAX_WEIGHT: Final = 1_000_000
INT32: Final = 2**31 - 1


def spec_of(top: Fields) -> Fields:
    """The `spec` of an object that has nothing beside it but what every object has."""
    top.known("apiVersion", "kind", "metadata", "status")
    spec = top.child("spec", required=True)
    top.done()
    return spec or top


def backend_of(meta: Meta, item: Fields, weight: int = 1, filters: tuple[RouteFilter, ...] = ()) -> BackendRef:
    """A reference to a backend. The caller checks its port and ends the reading of its fields."""
    return BackendRef(
        group=item.text("group"),
        kind=item.text("kind", "Service"),
        id=ObjectName(item.name("namespace", meta.id.namespace), item.name("name", required=True)),
        port=item.integer("port", 1, MAX_PORT),
        weight=weight,
        filters=filters,
        is_bare=not item.has("group") and not item.has("kind"),
    )


def check_port(item: Fields, backend: BackendRef) -> None:
    """A Service is referred to by one of its ports."""
    if backend.is_service and backend.port is None:
        item.problem("port", "must have port for Service reference")


def check_sections(item: Fields, key: str, named: Sequence[tuple[object, object]], what: str) -> None:
    """Of several references to one object each names a part of it (`what`), and each another one. `named` are objects
    and parts; a part that is falsy is not written."""
    targets = [target for target, _ in named]
    repeated = [(target, part) for target, part in named if targets.count(target) > 1]
    many = f"when {key} includes 2 or more references to the same {'parent' if key == 'parentRefs' else 'target'}"
    if not all(part for _, part in repeated):
        item.problem(key, f"{what} must be specified {many}")
    elif len(set(repeated)) != len(repeated):
        item.problem(key, f"{what} must be unique {many}")
