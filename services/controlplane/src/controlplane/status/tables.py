"""The content of /status as people read it: tables as `kubectl get` prints, or objects with their `status`. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from gateway.kube.objects import GATEWAY_GROUP, INFERENCE_GROUP

Found = Mapping[str, Any]  # the content of /status

GAP: Final = "   "
_KINDS: Final = (
    ("gateways", f"{GATEWAY_GROUP}/v1", "Gateway", ("addresses", "conditions", "listeners")),
    ("routes", f"{GATEWAY_GROUP}/v1", "HTTPRoute", ("parents",)),
    ("pools", f"{INFERENCE_GROUP}/v1", "InferencePool", ("parents",)),
)


def table(found: Found) -> str:
    """Each kind that there is in a table of its own, then what is to be said beside."""
    tables = (
        _aligned(("GATEWAY", "ADDRESS", "PROGRAMMED", "ROUTES", "MESSAGE"), map(_gateway, found["gateways"])),
        _aligned(("HTTPROUTE", "GATEWAY", "ACCEPTED", "RESOLVED", "MESSAGE"), _by_parent(found["routes"])),
        _aligned(
            ("INFERENCEPOOL", "ENDPOINTS", "PICKER", "ACCEPTED", "RESOLVED", "MESSAGE"), map(_pool, found["pools"])
        ),
        _aligned(("AIGATEWAYROUTE", "ACCEPTED", "MESSAGE"), map(_ai_route, found["aiRoutes"])),
        _aligned(("POLICY", "KIND", "ACCEPTED", "MESSAGE"), map(_policy, found["policies"])),
        _aligned(
            ("ENVOY", "STATE", "MESSAGE"), ((each["node"], each["state"], each["message"]) for each in found["envoys"])
        ),
    )
    lines = [f"{_place(each)}: {each['message']}" for each in found["problems"]]
    lines += [f"fault: {fault}" for fault in found["faults"]]
    lines += [f"warning: {warning}" for warning in found["warnings"]]
    return "\n".join([*filter(None, tables), *(f"{line}\n" for line in lines)])


def coloured(text: str) -> str:
    """A table in the colours of a terminal: what is true, what is not, and what is no real server."""
    for word, colour in (("True", 32), ("False", 31), (r"\d+ \(\d+ simulated\)", 33)):
        text = re.sub(rf"(?<=\s)({word})(?=\s)", f"\x1b[{colour}m\\1\x1b[0m", text)
    return text


def manifests(found: Found) -> str:
    """Every object with its `status`, as YAML documents."""
    objects = [
        {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"namespace": each["namespace"], "name": each["name"]},
            "status": {key: each[key] for key in keys},
        }
        for field, api_version, kind, keys in _KINDS
        for each in found[field]
    ]
    objects += [
        {
            "apiVersion": each["apiVersion"],
            "kind": each["kind"],
            "metadata": {"namespace": each["namespace"], "name": each["name"]},
            "status": {"conditions": each["conditions"]},
        }
        for each in found["policies"]
    ]
    objects += [
        {
            "apiVersion": each["apiVersion"],
            "kind": "AIGatewayRoute",
            "metadata": {"namespace": each["namespace"], "name": each["name"]},
            "status": {"conditions": each["conditions"]},
        }
        for each in found["aiRoutes"]
    ]
    shown: str = yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True) if objects else ""
    return shown


def _gateway(each: Found) -> Sequence[str]:
    conditions = [*each["conditions"], *(item for listener in each["listeners"] for item in listener["conditions"])]
    return (
        _name(each),
        ",".join(item["value"] for item in each["addresses"]),
        _status(each["conditions"], "Programmed"),
        str(sum(listener["attachedRoutes"] for listener in each["listeners"])),
        _message(conditions),
    )


def _by_parent(objects: Iterable[Found]) -> Iterator[Sequence[str]]:
    for each in objects:
        for parent in each["parents"]:
            conditions = parent["conditions"]
            gateway = "/".join(filter(None, (parent["parentRef"]["name"], parent["parentRef"].get("sectionName"))))
            accepted, resolved = (_status(conditions, kind) for kind in ("Accepted", "ResolvedRefs"))
            yield _name(each), gateway, accepted, resolved, _message(conditions)


def _pool(each: Found) -> Sequence[str]:
    conditions = [item for parent in each["parents"] for item in parent["conditions"]]
    message = _message(conditions) or ("" if each["endpoints"] else "no endpoint is known")
    return (
        _name(each),
        f"{each['endpoints']}{_simulated(each)}",
        each["picker"] or "none",
        _status(conditions, "Accepted") if conditions else "no route",
        _status(conditions, "ResolvedRefs"),
        message,
    )


def _simulated(pool: Found) -> str:
    count = pool.get("simulated", 0)  # an older control plane does not say
    return f" ({count} simulated)" if count else ""


def _ai_route(each: Found) -> Sequence[str]:
    return _name(each), _status(each["conditions"], "Accepted"), _message(each["conditions"])


def _policy(each: Found) -> Sequence[str]:
    return _name(each), each["kind"], _status(each["conditions"], "Accepted"), _message(each["conditions"])


def _name(each: Found) -> str:
    return f"{each['namespace']}/{each['name']}"


def _place(problem: Found) -> str:
    line = f":{problem['line']}:{problem['column']}" if problem["line"] else ""
    return f"{problem['file']}{line}" + (f": {problem['field']}" if problem["field"] else "")


def _status(conditions: Sequence[Found], kind: str) -> str:
    """The worst of a kind: one parent that refuses is what one wants to see."""
    found = {item["status"] for item in conditions if item["type"] == kind}
    return "False" if "False" in found else "True" if found else ""


def _message(conditions: Sequence[Found]) -> str:
    """Why something is not as it should be."""
    bad = (item for item in conditions if (item["status"] == "True") == (item["type"] == "PartiallyInvalid"))
    found = (f"{item['reason']}: {item['message']}" if item["message"] else item["reason"] for item in bad)
    return next(found, "")


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    listed = list(rows)
    if not listed:
        return ""
    widths = [max(len(row[column]) for row in (head, *listed)) for column in range(len(head))]
    lines = (GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *listed))
    return "".join(f"{line.rstrip()}\n" for line in lines)
