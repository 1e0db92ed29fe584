"""A route whose pools get half of their requests past the picker, by round robin. Pure.

Each pool gets a twin: the same servers, with the annotation that lets Envoy take them in turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.kube.objects import Manifests, ObjectName
from gateway.kube.reading.documents import Document
from gateway.wire import protocol

Tree = Mapping[str, Any]

MAX_WEIGHT: Final = 1_000_000  # of the Gateway API
_POOL: Final = "InferencePool"


class UnsplittableError(Exception):
    """A route that cannot be compared; the message says why in one line."""


def route_named(name: str, documents: Sequence[Document]) -> Document:
    """The HTTPRoute of a name, or of NAMESPACE/NAME; `UnsplittableError` where there is not exactly one."""
    routes = _latest(documents, "HTTPRoute")
    found = [each for key, each in routes.items() if name in (key.name, str(key))]
    if len(found) == 1:
        return found[0]
    known = ", ".join(map(str, routes)) or "none"
    if found:
        raise UnsplittableError(f"--route {name} is the name of {len(found)} HTTPRoutes: give one of {known}")
    raise UnsplittableError(f"--route {name}: there is no such HTTPRoute; known: {known}")


def twin_of(pool: ObjectName) -> ObjectName:
    """The name of a pool's twin."""
    return pool._replace(name=f"{pool.name}-{protocol.ROUND_ROBIN}")


def pools_of(route: Document) -> tuple[ObjectName, ...]:
    """The pools that a route leads to, each once."""
    refs = (ref for rule in _rules(route) for ref in rule.get("backendRefs") or ())
    found = (_pool_of(ref, route.meta.id.namespace) for ref in refs)
    return tuple(dict.fromkeys(pool for pool in found if pool is not None))


def split(route: Document, documents: Sequence[Document], manifests: Manifests) -> tuple[Tree, ...]:
    """The route and the twins of its pools, to be laid over the manifests; `UnsplittableError` says why not."""
    pools, written = pools_of(route), _latest(documents, _POOL)
    if not pools:
        raise UnsplittableError(f"HTTPRoute {route.meta.id} leads to no InferencePool, so no picker is asked for it")
    for pool in pools:
        for why in _obstacles(pool, written, manifests):
            raise UnsplittableError(f"{why}: compare another route")
    halved = [{**rule, **_halved(rule, route.meta.id.namespace)} for rule in _rules(route)]
    tree = _tree(route)
    whole = {key: value for key, value in tree.items() if key != "status"} | {"spec": {**tree["spec"], "rules": halved}}
    return (whole, *(_twin(_tree(written[pool]), twin_of(pool)) for pool in pools))


def _obstacles(pool: ObjectName, written: Mapping[ObjectName, Document], manifests: Manifests) -> Iterator[str]:
    if pool not in written:
        yield f"InferencePool {pool} is not among the manifests as such"
    if twin_of(pool) in manifests.pools:
        yield f"InferencePool {twin_of(pool)} exists already"
    for name, rewrite in manifests.rewrites.items():
        if rewrite.pool == pool:
            yield f"InferenceModelRewrite {name} changes models' names in the picker, and round robin asks none"
    for name, model in manifests.models.items():
        if model.pool == pool and any(target.model != model.model_name for target in model.targets):
            yield f"InferenceModel {name} changes models' names in the picker, and round robin asks none"


def _halved(rule: Tree, namespace: str) -> Tree:
    refs = rule.get("backendRefs") or ()
    return {"backendRefs": [half for ref in refs for half in _halves(ref, namespace)]} if refs else {}


def _halves(ref: Tree, namespace: str) -> Iterator[Tree]:
    """A pool and its twin with the weight that the pool has; anything else with twice its own."""
    weight = ref.get("weight", 1)
    if weight * 2 > MAX_WEIGHT:
        raise UnsplittableError(
            f"weight {weight} of {ref['name']} cannot be doubled: make it {MAX_WEIGHT // 2} at most"
        )
    pool = _pool_of(ref, namespace)
    if pool is None:
        yield {**ref, "weight": weight * 2}
    else:
        yield {**ref, "weight": weight}
        yield {**ref, "name": twin_of(pool).name, "weight": weight}


def _twin(pool: Tree, name: ObjectName) -> Tree:
    metadata = pool["metadata"]
    annotations = {**(metadata.get("annotations") or {}), protocol.PICKER_ANNOTATION: protocol.ROUND_ROBIN}
    kept = {key: metadata[key] for key in ("namespace", "labels") if key in metadata}
    return {
        "apiVersion": pool["apiVersion"],
        "kind": _POOL,
        "metadata": {"name": name.name, **kept, "annotations": annotations},
        "spec": pool["spec"],
    }


def _pool_of(ref: Tree, namespace: str) -> ObjectName | None:
    return ObjectName(ref.get("namespace", namespace), ref["name"]) if ref.get("kind") == _POOL else None


def _rules(route: Document) -> Sequence[Tree]:
    rules: Sequence[Tree] = _tree(route)["spec"].get("rules") or ()
    return rules


def _tree(document: Document) -> Mapping[str, Any]:
    assert isinstance(document.value.data, Mapping)
    return document.value.data


def _latest(documents: Sequence[Document], kind: str) -> Mapping[ObjectName, Document]:
    """Those of a kind by name; a later one replaces an earlier one."""
    return {document.meta.id: document for document in documents if document.kind == kind}
