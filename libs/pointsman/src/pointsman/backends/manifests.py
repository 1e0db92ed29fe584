"""Manifests that serve pools of servers: what a person would write, and edits from then on. Pure.

Servers that speak plain HTTP are EndpointSlices. Those that speak TLS are Backends, since each has a name of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from gateway.wire import protocol
from pointsman.backends.pools import Pool
from pointsman.backends.server import Server

GATEWAY_FILE: Final = "gateway.yaml"
KEY_FILE: Final = "key.yaml"  # holds the key of the model servers: for its owner only
KEY_SECRET: Final = "model-servers"  # noqa: S105 - the Secret's name
# The Gateway API's own limit for one rule.
_MATCHES_LIMIT: Final = 64

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picker:
    """Where the endpoint picker listens."""

    host: str
    port: int


def files_of(pools: Sequence[Pool], picker: Picker, api_key: str | None) -> Mapping[str, str]:
    """The text of each file, by its name: the gateway, the key where there is one, and each pool."""
    files = {GATEWAY_FILE: _text("The gateway's listener, and where its endpoint picker is.", _gateway(picker))}
    if api_key:
        secret = _object("v1", "Secret", KEY_SECRET, stringData={"apiKey": api_key})
        files[KEY_FILE] = _text("The key that the model servers want. Clients need none.", [secret])
    for pool in pools:
        words = f"Servers of {pool.names[0]}. A new one: one more EndpointSlice, or one more --backend."
        files[f"pool-{pool.name}.yaml"] = _text(words, _pool(pool, is_only=len(pools) == 1, has_key=bool(api_key)))
    return files


def _text(words: str, documents: Sequence[Document]) -> str:
    return f"# {words}\n" + yaml.safe_dump_all(documents, sort_keys=False, width=120)


def _object(version: str, kind: str, name: str, labels: Mapping[str, str] | None = None, **rest: Any) -> Document:
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _gateway(picker: Picker) -> list[Document]:
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    slice_ = _object(
        "discovery.k8s.io/v1", "EndpointSlice", "epp", {"kubernetes.io/service-name": "epp"}, addressType="IPv4",
        endpoints=[{"addresses": [picker.host]}], ports=[{"name": "grpc", "port": picker.port}],
    )  # fmt: skip
    return [
        _object(
            "gateway.networking.k8s.io/v1", "Gateway", "inference-gateway",
            spec={"gatewayClassName": "pointsman", "listeners": [listener]},
        ),
        slice_,
    ]  # fmt: skip


def _pool(pool: Pool, *, is_only: bool, has_key: bool) -> list[Document]:
    labels = {"app": pool.name}
    spec = {
        "selector": {"matchLabels": labels},
        "targetPorts": [{"number": pool.servers[0].port}],
        "endpointPickerRef": {"name": "epp", "port": {"number": 9002}, "failureMode": "FailOpen"},
    }
    head = _object("inference.networking.k8s.io/v1", "InferencePool", pool.name, spec=spec)
    if has_key:
        head["metadata"]["annotations"] = {"pointsman.dev/api-key-secret": KEY_SECRET}
    documents = [head, *_routes(pool, is_only=is_only)]
    if pool.adapters:
        documents.append(_adapters(pool))
    for number, server in enumerate(pool.servers):
        name = f"{pool.name}-{number}"
        documents += (
            _backend(name, labels, server, has_key=has_key) if server.is_tls else [_slice(name, labels, server)]
        )
    return documents


def _routes(pool: Pool, *, is_only: bool) -> list[Document]:
    """Every model where there is one pool: one that is loaded later is served at once. Else by the model's name."""
    path = {"type": "PathPrefix", "value": "/v1"}
    if is_only:
        return [_route(pool, pool.name, [{"path": path}])]
    matches = [{"path": path, "headers": [{"name": "X-Gateway-Model-Name", "value": model}]} for model in pool.models]
    parts = [matches[at : at + _MATCHES_LIMIT] for at in range(0, len(matches), _MATCHES_LIMIT)]
    return [
        _route(pool, pool.name if not number else f"{pool.name}-{number}", part) for number, part in enumerate(parts)
    ]


def _route(pool: Pool, name: str, matches: Sequence[Document]) -> Document:
    backend = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": pool.name}
    rule = {"matches": matches, "backendRefs": [backend]}
    spec = {"parentRefs": [{"name": "inference-gateway"}], "rules": [rule]}
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", name, spec=spec)


def _adapters(pool: Pool) -> Document:
    """Which adapters belong to which base model, for the body-based router."""
    return _object(
        "v1", "ConfigMap", f"{pool.name}-adapters", {protocol.BBR_MANAGED_LABEL: "true"},
        data={"baseModel": pool.names[0], "adapters": "".join(f"- {adapter}\n" for adapter in pool.adapters)},
    )  # fmt: skip


def _slice(name: str, labels: Mapping[str, str], server: Server) -> Document:
    return _object(
        "discovery.k8s.io/v1", "EndpointSlice", name, labels, addressType=server.family,
        endpoints=[{"addresses": [server.host], "targetRef": {"kind": "Pod", "name": name}}],
        ports=[{"name": "http", "port": server.port}],
    )  # fmt: skip


def _backend(name: str, labels: Mapping[str, str], server: Server, *, has_key: bool) -> list[Document]:
    group = "gateway.envoyproxy.io"
    place = {"hostname" if server.family == "FQDN" else "address": server.host, "port": server.port}
    endpoint = {"fqdn" if server.family == "FQDN" else "ip": place}
    backend = {"group": group, "kind": "Backend", "name": name}
    documents = [
        _object(
            "aigateway.envoyproxy.io/v1beta1", "AIServiceBackend", name, labels,
            spec={"schema": {"name": "OpenAI"}, "backendRef": backend},
        ),
        _object(
            f"{group}/v1alpha1", "Backend", name,
            spec={"endpoints": [endpoint], "tls": {"wellKnownCACertificates": "System"}},
        ),
    ]  # fmt: skip
    if has_key:
        target = {"group": "aigateway.envoyproxy.io", "kind": "AIServiceBackend", "name": name}
        documents.append(
            _object(
                "aigateway.envoyproxy.io/v1beta1", "BackendSecurityPolicy", name,
                spec={"targetRefs": [target], "type": "APIKey", "apiKey": {"secretRef": {"name": KEY_SECRET}}},
            )
        )  # fmt: skip
    return documents
