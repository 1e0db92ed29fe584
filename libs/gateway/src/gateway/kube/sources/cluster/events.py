"""Events about objects that are refused: they say what is wrong with an object where people look at it. Pure.

The name of an Event is a digest of what it says about which object, so that every replica and every restart of one
writes the same Event, which the server takes once.
"""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any, Final

from gateway.kube.objects import DEFAULT_NAMESPACE
from gateway.kube.reading.contents import Entry
from gateway.kube.sources.cluster.resources import BY_KIND

MOST: Final = 500  # at one time; the log has all
LONGEST_MESSAGE: Final = 1024  # characters; the API's limit
LONGEST_NAME: Final = 200  # of an object's name within that of an Event
DIGEST: Final = 16  # hexadecimal digits
REASON: Final = "Refused"
_MORE: Final = "…"

Events = Mapping[str, Mapping[str, Any]]  # by namespace and name


def events(lists: Iterable[Iterable[Entry]], reporter: str, stamp: str) -> Events:
    """One for each object with problems, of the first of them. `stamp` is the time of day, as the API writes it."""
    refused = (each for entries in lists for each in entries if each.problems)
    found = (_event(each, reporter, stamp) for each in islice(refused, MOST))
    return MappingProxyType({f"{each['metadata']['namespace']}/{each['metadata']['name']}": each for each in found})


def _event(entry: Entry, reporter: str, stamp: str) -> dict[str, Any]:
    group, kind, namespace, name = entry.identity
    resource = BY_KIND.get((group, kind))
    is_namespaced = resource is None or resource.is_namespaced
    message = "; ".join(f"{each.field}: {each.message}" if each.field else each.message for each in entry.problems)
    meta = entry.found.meta if entry.found is not None else None
    uid = meta.uid if meta is not None else ""
    digest = hashlib.sha256("\0".join((*entry.identity, uid, message)).encode()).hexdigest()[:DIGEST]
    regarding = {"kind": kind, "name": name, "uid": uid, "apiVersion": meta.api_version if meta is not None else ""}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name[:LONGEST_NAME].rstrip('.-')}.{digest}",
            "namespace": namespace if is_namespaced else DEFAULT_NAMESPACE,
        },
        "involvedObject": {
            **{key: value for key, value in regarding.items() if value},
            **({"namespace": namespace} if is_namespaced else {}),
        },
        "type": "Warning",
        "reason": REASON,
        "message": _shortened(f"it stays as it was, or is missing: {message}"),
        "source": {"component": reporter},
        "reportingComponent": reporter,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_MESSAGE else text[: LONGEST_MESSAGE - len(_MORE)] + _MORE
