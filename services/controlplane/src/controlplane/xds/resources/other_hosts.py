"""Where a request is sent once more: at a host that it was not sent to. Pure; part of retry policies."""

from typing import Final

from controlplane.xds.resources.names import Tree, typed

# Choices until a host is found that has not failed. Of two, each choice hits the failed one half of the time while
# others choose, too: with so many one request in 100 000 finds no other.
SELECTIONS: Final = 16


def another_host() -> Tree:
    """Try again at a host that this request was not sent to."""
    previous = typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
    return {
        "host_selection_retry_max_attempts": SELECTIONS,
        "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": previous}],
    }
