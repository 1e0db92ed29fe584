"""Objects found by namespace and labels without a look at every one. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from gateway.kube.objects.meta import Meta


class HasMeta(Protocol):
    @property
    def meta(self) -> Meta: ...


T = TypeVar("T", bound=HasMeta)


class Labelled(Generic[T]):
    """An index of objects. Built once for each snapshot; never changed."""

    def __init__(self, objects: Iterable[T]) -> None:
        self._by_namespace: dict[str, list[T]] = {}
        self._by_label: dict[tuple[str, str, str], list[T]] = {}
        for found in objects:
            namespace = found.meta.id.namespace
            self._by_namespace.setdefault(namespace, []).append(found)
            for key, value in found.meta.labels.items():
                self._by_label.setdefault((namespace, key, value), []).append(found)

    def select(self, namespace: str, labels: Mapping[str, str]) -> Iterator[T]:
        """The objects of a namespace that have all these labels, in their order; without labels, all of them."""
        lists = [self._by_label.get((namespace, *label), []) for label in labels.items()]
        if len(lists) == 1:
            return iter(lists[0])
        fewest = min(lists, key=len, default=self._by_namespace.get(namespace, []))
        return (found for found in fewest if all(found.meta.labels.get(key) == labels[key] for key in labels))
