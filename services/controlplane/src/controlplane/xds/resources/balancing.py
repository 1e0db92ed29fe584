"""Load balancing policies of clusters: the picker's list first, and what decides without one. Pure."""

from typing import Final

from controlplane.xds.resources.names import Tree, typed
from gateway.wire import protocol

LEAST_REQUEST: Final[Tree] = {
    "typed_extension_config": {
        "name": "envoy.load_balancing_policies.least_request",
        "typed_config": typed("envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"),
    }
}
ROUND_ROBIN: Final[Tree] = {
    "typed_extension_config": {
        "name": "envoy.load_balancing_policies.round_robin",
        "typed_config": typed("envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"),
    }
}


def by_weight() -> Tree:
    """Least request within a group of endpoints, and groups of one tier by their weights."""
    name = "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"
    weighted: Tree = {"locality_weighted_lb_config": {}}
    return {
        "typed_extension_config": {
            "name": "envoy.load_balancing_policies.least_request",
            "typed_config": typed(name, locality_lb_config=weighted),
        }
    }


# A policy that can select nothing: a request without a pick gets 503. This is FailClose without failing the ext_proc
# stream, which would also cut answers in flight when a picker dies.
NEVER: Final = {
    "typed_extension_config": {
        "name": "envoy.load_balancing_policies.subset",
        "typed_config": typed(
            "envoy.extensions.load_balancing_policies.subset.v3.Subset",
            fallback_policy="NO_FALLBACK",
            subset_selectors=[{"keys": ["never"]}],
            subset_lb_policy={"policies": [ROUND_ROBIN]},
        ),
    }
}


def override_host(fallback: object) -> Tree:
    """The picker's list, then `fallback`. It is read from dynamic metadata alone, which no client can write; both
    transports write there, so that a pool that changes its transport keeps its cluster."""
    namespaces = (protocol.LB_NAMESPACE, protocol.EXT_AUTHZ_NAMESPACE)
    sources = [{"metadata": {"key": key, "path": [{"key": protocol.DESTINATION_ENDPOINT}]}} for key in namespaces]
    served = {"key": protocol.LB_NAMESPACE, "path": [{"key": protocol.DESTINATION_SERVED}]}
    return {
        "typed_extension_config": {
            "name": "envoy.load_balancing_policies.override_host",
            "typed_config": typed(
                "envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
                override_host_sources=sources,
                selected_host_key=served,
                fallback_policy={"policies": [fallback]},
            ),
        }
    }
