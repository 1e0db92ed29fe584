"""What is taken from a request's headers before anything reads them. Pure.

Only three control headers may come from a client. Envoy's regular expressions cannot say "all but these", so the three
step aside under private names, everything with the prefix goes, and they step back.
"""

from typing import Final

from controlplane.options import Options
from controlplane.xds.resources.names import Tree, typed
from gateway.wire import protocol

_PRIVATE_PREFIX: Final = "x-pointsman-client-"  # where allowed control headers wait while the others are stripped


def stripping(options: Options) -> Tree:
    """An extension of the connection manager, for its `early_header_mutation_extensions`."""
    allowed = [(name, _PRIVATE_PREFIX + name) for name in protocol.CLIENT_CONTROL_HEADERS]
    mutations: list[Tree] = [{"remove": aside} for _, aside in allowed]
    mutations += [_copy(name, aside) for name, aside in allowed]
    mutations.append(_remove_all(_any_spelling(protocol.CONTROL_HEADER_PREFIX) + ".*"))
    # A proxy beside a model server would connect to where these say.
    mutations += [_remove_all(_any_spelling(name)) for name in protocol.SIDECAR_HEADERS]
    mutations.append({"remove": protocol.PICK_ID})
    if not options.client_explanations:
        mutations.append({"remove": protocol.EXPLAIN})
    mutations += [_copy(aside, name) for name, aside in allowed]
    mutations += [{"remove": aside} for _, aside in allowed]
    return _extension(mutations)


def without_earlier_pick() -> Tree:
    """The same for a request that another pool takes over: what the first pool's picker wrote is not for this one."""
    written = (protocol.DESTINATION_ENDPOINT, protocol.PICK_ID, protocol.TTFT_LIMIT, *protocol.SIDECAR_HEADERS)
    return _extension([{"remove": name} for name in written])


def _extension(mutations: list[Tree]) -> Tree:
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": typed(
            "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation", mutations=mutations
        ),
    }


def _any_spelling(name: str) -> str:
    """Also as some servers that know no dashes spell it."""
    return name.replace("-", "[-_]")


def _remove_all(pattern: str) -> Tree:
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": pattern}}}}


def _copy(source: str, target: str) -> Tree:
    return {
        "append": {
            "header": {"key": target, "value": f"%REQ({source})%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            "keep_empty_value": False,
        }
    }
