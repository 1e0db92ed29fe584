"""How a cluster speaks to its endpoints: sockets by connection, and filters that change each attempt's request. Pure.

Keys come as secrets of Envoy's own, never as text of a cluster or an endpoint. Each is put into a private header by an
injecting filter; a script then moves the one of the endpoint's own connection to its place and removes the others.
"""

import json
from collections.abc import Sequence
from typing import Final

from controlplane.options import Options
from controlplane.plan.connections import Connection, Member
from controlplane.plan.credentials import Credential, RequestCredential
from controlplane.xds.resources import names
from controlplane.xds.resources.names import Tree, typed
from controlplane.xds.resources.scripts import script
from controlplane.xds.resources.sources import config_source
from controlplane.xds.resources.tls import tls
from gateway.kube.objects import Changes
from gateway.wire.errors import ErrorCode, Rejection

PROTOCOLS: Final = ("http/1.1",)
_SOCKETS: Final = "envoy.transport_socket_match"  # the metadata by which Envoy finds an endpoint's socket
_FILTERS: Final = "envoy.extensions.filters.http"
_CHOSEN: Final = "x-pointsman-connection"
_KEY: Final = "x-pointsman-key-"
_PLAINTEXT: Final[Tree] = {
    "name": "envoy.transport_sockets.raw_buffer",
    "typed_config": typed("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
}


def sockets(connections: Sequence[Connection], options: Options) -> Tree:
    """The fields of a cluster that say how its endpoints are connected to; none for plaintext."""
    orders = {connection.tls for connection in connections}
    if orders <= {None}:
        return {}
    if len(orders) == 1:
        return {"transport_socket": _socket(connections[0], options)}
    return {
        "transport_socket_matches": [
            {
                "name": connection.name,
                "match": {"connection": connection.name},
                "transport_socket": _socket(connection, options),
            }
            for connection in connections
        ]
    }


def _socket(connection: Connection, options: Options) -> Tree:
    return _PLAINTEXT if connection.tls is None else tls(connection.tls, PROTOCOLS, options)


def endpoint(member: Member, connection: Connection) -> Tree:
    """An endpoint of a load assignment that says which connection it has."""
    if member.listener:  # its own endpoints are probed there, where they are many
        way = {"envoy_internal_address": {"server_listener_name": names.takeover(member.listener)}}
        return {"endpoint": {"address": way, "health_check_config": {"disable_active_health_check": True}}}
    address = {"socket_address": {"address": member.address, "port_value": member.port}}
    found: Tree = {"address": address}
    if member.hostname:
        found |= {"hostname": member.hostname, "health_check_config": {"hostname": member.hostname}}
    if connection.is_plain and not member.hostname:
        return {"endpoint": found}
    chosen = {"connection": connection.name}
    return {"endpoint": found, "metadata": {"filter_metadata": {_SOCKETS: chosen, names.CLUSTER_METADATA: chosen}}}


def filters(connections: Sequence[Connection], options: Options) -> list[Tree]:
    """The HTTP filters of a cluster, ahead of its codec; none where every request goes out as it is."""
    if not any(connection.edits for connection in connections):
        return []
    own = (item.authentication.own for item in connections)
    credentials = tuple(dict.fromkeys(each for each in own if each is not None))
    return [
        _naming(),
        *(_injecting(index, found, options) for index, found in enumerate(credentials)),
        _changing(connections, credentials),
    ]


def _naming() -> Tree:
    value = f'%UPSTREAM_METADATA(["{names.CLUSTER_METADATA}","connection"])%'
    append = {"header": {"key": _CHOSEN, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    mutation = typed(
        f"{_FILTERS}.header_mutation.v3.HeaderMutation", mutations={"request_mutations": [{"append": append}]}
    )
    return {"name": "envoy.filters.http.header_mutation", "typed_config": mutation}


def _injecting(index: int, credential: Credential, options: Options) -> Tree:
    name = names.credential(credential)
    generic = typed(
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        credential={"name": name, "sds_config": config_source(names.SECRET_TYPE, name, options)},
        header=f"{_KEY}{index}",
    )
    injector = typed(
        f"{_FILTERS}.credential_injector.v3.CredentialInjector",
        overwrite=True,
        credential={"name": "envoy.http.injected_credentials.generic", "typed_config": generic},
    )
    return {"name": f"envoy.filters.http.credential_injector/{index}", "typed_config": injector}


def _changing(connections: Sequence[Connection], credentials: Sequence[Credential]) -> Tree:
    given = {item.authentication.given.source.header for item in connections if item.authentication.given}
    private = (*(f"{_KEY}{index}" for index in range(len(credentials))), *sorted(given - {""}))
    keys = ", ".join(_text(name) for name in private)
    table = ", ".join(f"[{_text(item.name)}] = {_wanted(item, credentials)}" for item in connections)
    nothing = _wanted(Connection(), ())
    error = Rejection(401, ErrorCode.CREDENTIAL_MISSING, "the request brings no key for the backend, which wants one")
    head = (
        f"local KEYS = {{ {keys} }}\nlocal NOTHING = {nothing}\nlocal CONNECTIONS = {{ {table} }}\n"
        f"local NO_KEY = {_text(error.body().decode())}\n"
    )
    code = {"inline_string": head + script("outgoing")}
    return {"name": names.OUTGOING_FILTER, "typed_config": typed(f"{_FILTERS}.lua.v3.Lua", default_source_code=code)}


def _wanted(connection: Connection, credentials: Sequence[Credential]) -> str:
    """What a connection changes, as a table of the script's language."""
    changes = connection.changes
    parts = [
        f"set = {{ {', '.join(f'{{ {_text(name)}, {_text(value)} }}' for name, value in changes.set_headers)} }}",
        f"removed = {{ {', '.join(_text(name) for name in changes.removed_headers)} }}",
        f"members = {{ {', '.join(_text(member) for member in _members(changes))} }}",
        f"left_out = {{ {', '.join(f'[{_text(key)}] = true' for key in _left_out(changes))} }}",
    ]
    if changes.prefix:
        parts.append(f"prefix = {_text(f'/{changes.prefix}')}")
    own, given = connection.authentication.own, connection.authentication.given
    if own is not None:
        parts.append(f"key = {{ {_text(f'{_KEY}{credentials.index(own)}')}, {_text(own.header)} }}")
    if given is not None:
        parts.append(f"given = {_given(given)}")
    return f"{{ {', '.join(parts)} }}"


def _given(found: RequestCredential) -> str:
    """Where a request may bring a key, and where that goes."""
    source = found.source
    parts = [f"target = {_text(found.header)}", f"before = {_text(found.before)}"]
    if source.header:
        parts.append(f"header = {_text(source.header)}")
    else:
        parts.append(f"namespace = {_text(source.namespace)}, member = {_text(source.key)}")
    if not source.falls_back:
        parts.append("is_required = true")
    return f"{{ {', '.join(parts)} }}"


def _members(changes: Changes) -> list[str]:
    return [f"{json.dumps(name)}:{value}" for name, value in changes.fields]


def _left_out(changes: Changes) -> list[str]:
    """Keys as they stand between their quotes. What is set is written anew, behind everything else."""
    return [json.dumps(name)[1:-1] for name in (*(key for key, _ in changes.fields), *changes.removed_fields)]


def _text(value: str) -> str:
    """A string of the script's language. Every byte that could end it is written as a number."""
    plain = (chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"\\{byte:03d}" for byte in value.encode())
    return f'"{"".join(plain)}"'
