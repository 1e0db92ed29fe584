"""Where a request is sent once more: at a host that it was not sent to. Pure; part of retry policies."""

from controlplane.xds.resources.names import Tree, typed


def another_host(selections: int) -> Tree:
    """Try again at a host that this request was not sent to; Envoy chooses at most so many times more to find one."""
    previous = typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
    return {
        "host_selection_retry_max_attempts": selections,
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": previous}],
    }
