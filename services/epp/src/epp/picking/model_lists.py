"""Requests for the list of models, or for one of them, which the picker answers itself. Pure.

    GET /v1/models        {"object": "list", "data": [each model once, base models before adapters, by name]}
    GET /v1/models/ID     that model's item, or 404; an id may hold slashes and be written as %XX

A slash at the end changes nothing. A pool at zero keeps the models that a server listed last, after a restart those
that objects name. `incomplete` stands beside `data` where pools have not given their models, and names
them: none of their servers could be asked yet, each wants a key, or this picker does not know the pool.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

import orjson

from epp.domain import Reply, Request, ServedModel
from gateway.wire import refusals
from gateway.wire.errors import Rejection

METHODS: Final = ("GET", "HEAD")
_PATH: Final = re.compile(r"/v1/models(?:/(.*))?\Z", re.DOTALL)

EVERY: Final = ""  # the id of a request for the list


def requested(request: Request) -> str | None:
    """The model that a request is about, EVERY for the list; None for other requests."""
    if request.method not in METHODS:
        return None
    found = _PATH.search(request.path.partition("?")[0])
    return None if found is None else unquote(found[1] or "").rstrip("/")


def named(model: str) -> ServedModel:
    """A model of which nothing but its name is known."""
    return ServedModel(model, {"id": model, "object": "model"})


def document(models: Iterable[ServedModel], silent: Iterable[str]) -> bytes:
    """The list. Of several items for one id the first stands for all; `silent` are pools that gave none."""
    found: dict[str, Mapping[str, object]] = {}
    for model in models:
        found.setdefault(model.id, model.item)
    ordered = sorted(found.items(), key=lambda each: (each[1].get("parent") is not None, each[0]))
    listed: dict[str, object] = {"object": "list", "data": [dict(item) for _, item in ordered]}
    missing = sorted(set(silent))
    return orjson.dumps(listed | {"incomplete": missing} if missing else listed)


def allowed(listing: bytes, wanted: str | None) -> bytes:
    """What of a list a caller may see: all, or what the router says (`wanted`, see ALLOWED_MODELS)."""
    if wanted is None:
        return listing
    listed = [unquote(each.strip()) for each in wanted.split(",")]
    exact = {name for name in listed if not name.endswith("*")}
    prefixes = tuple(name[:-1] for name in listed if name.endswith("*"))
    document = orjson.loads(listing)
    document.pop("incomplete", None)  # pools that may be others' own
    document["data"] = [item for item in document["data"] if item["id"] in exact or item["id"].startswith(prefixes)]
    return orjson.dumps(document)


def verdict(listing: bytes, model: str) -> Reply | Rejection:
    """What a request for this model gets from a list."""
    if model == EVERY:
        return Reply(listing)
    items = orjson.loads(listing)["data"]
    item = next((item for item in items if item["id"] == model), None)
    return refusals.model_not_found() if item is None else Reply(orjson.dumps(item))
