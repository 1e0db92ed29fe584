"""Requests whose route needs no model: neither the body-based router nor Envoy's script waits for their body. Pure.

Filters go by the route that matches before the model is known. So a path keeps its lift as soon as any rule by model
could serve it, too. Requests for a pool keep it always: the model server gets the model as a header. So do those whose
costs are counted: the access log names their model.
"""

from controlplane.plan.entries import Entry, VirtualHost
from controlplane.plan.lifting import by_model_header
from controlplane.xds.resources import matches, names
from controlplane.xds.resources.names import Tree, typed
from gateway.kube.objects import InferencePool


def settings() -> Tree:
    """Filter settings of such a route."""
    return {
        names.LIFT_FILTER: typed("envoy.extensions.filters.http.lua.v3.LuaPerRoute", disabled=True),
        names.BBR_FILTER: typed("envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute", disabled=True),
    }


def only_headers() -> Tree:
    """Filter settings of a route whose requests have no end: the router judges who asks, nobody waits for a body."""
    kind = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
    mode = {
        "request_header_mode": "SEND",
        "request_body_mode": "NONE",
        "response_header_mode": "SKIP",
        "response_body_mode": "NONE",
    }
    return {**settings(), names.BBR_FILTER: typed(kind, overrides={"processing_mode": mode})}


def needs_no_model(entry: Entry, host: VirtualHost) -> bool:
    """Whether an entry leads to no pool, nobody counts its costs, and no model could lead its requests elsewhere."""
    leads_to_pool = any(isinstance(backend.target, InferencePool) for backend in entry.backends)
    if by_model_header(entry) or leads_to_pool or entry.costs:
        return False
    by_model = (other.match.path for other in host.entries if by_model_header(other))
    return not any(matches.overlap(entry.match.path, path) for path in by_model)


def tunnels() -> Tree:
    """A tunnel has no end that anybody could wait for: no rule serves one."""
    return {
        "name": names.ROUTE_NOT_FOUND,
        "match": {"connect_matcher": {}},
        "route": {"cluster": names.ABSENT_CLUSTER, "cluster_not_found_response_code": "NOT_FOUND"},
        "typed_per_filter_config": settings(),
    }
