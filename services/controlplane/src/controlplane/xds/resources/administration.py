"""The paths by which a model server is operated, and the conditions that keep a route off them. Pure.

They load and unload adapters, put the engine to sleep, change its weights, reset its caches, profile it, or run code in
it, mostly without a key. A rule that leads to a pool reaches one only by an Exact match of it. Names are looked for at
the end of a path, whatever stands before them: a rewritten prefix or a server's `--root-path` opens nothing.

Engines name these paths by a verb in snake case, and no path of an API for clients is named so. The verbs therefore
also close what the next version of an engine adds. A test has the whole lists of vLLM and SGLang.
"""

from typing import Final

from controlplane.xds.resources.names import Tree
from gateway.kube.objects import PathMatch, PathType

# In several expressions: Envoy takes none of more than 100 instructions unless its runtime says otherwise.
_NAMES: Final = (
    "((un)?load|reset|flush|clear|start|stop|dump|init|finish)_[a-z_]+",
    "(update|release|destroy|set|get|is|abort|freeze|scale|send)_[a-z_]+",
    "(pause|resume|continue)(_[a-z_]+)?|sleep|wake_up|slow_down|collective_rpc",
    "(server|tokenizer|weight)_info|weight_checker|configure_logging",
    "(fault_tolerance|hicache|admin)(/[^/?]*)*",  # the last one is the simulator's
)
# Of a whole `:path` as Envoy has normalised it: with the slash at the end that servers redirect, and with any query,
# which need not be UTF-8.
PATTERNS: Final = tuple(rf"[!->@-~]*/({names})/?([?]\C*)?" for names in _NAMES)
_CLOSING: Final[tuple[Tree, ...]] = tuple(
    {"name": ":path", "string_match": {"safe_regex": {"regex": pattern}}, "invert_match": True} for pattern in PATTERNS
)


def closed(wanted: Tree, path: PathMatch) -> Tree:
    """Envoy's match without the administrative paths, unless it is one for exactly one path. The conditions come last,
    so that they cost a request nothing that another header has decided."""
    if path.type is PathType.EXACT:
        return wanted
    written = wanted.get("headers", [])
    assert isinstance(written, list)
    return {**wanted, "headers": [*written, *_CLOSING]}
