"""One proxy's stream of all types, and the order in which it learns of a new snapshot. Pure.

Make before break, by what the proxy acknowledges:

    clusters, old and new ▶ their endpoints ▶ taken? ▶ listeners, routes ▶ taken? ▶ new clusters only

Envoy acknowledges clusters when the last of them is warm. Endpoints and secrets wait for nothing, so an endpoint that
comes or goes is sent at once, whatever else is under way. Where something is refused, what follows it is held back, and
the proxy goes on with what it has until a snapshot comes that it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from controlplane.xds.ads.subscription import Offer, Subscription
from controlplane.xds.resources import names
from gateway.xds.messages import Dialect, Request, Resource, Response

ORDER: Final = (
    names.CLUSTER_TYPE,
    names.ENDPOINTS_TYPE,
    names.LISTENER_TYPE,
    names.ROUTES_TYPE,
    names.SECRET_TYPE,
)
_WHOLE: Final = frozenset({names.CLUSTER_TYPE, names.LISTENER_TYPE})
_AFTER_CLUSTERS: Final = frozenset({names.LISTENER_TYPE, names.ROUTES_TYPE})
_NOTHING: Final[Mapping[str, Resource]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """A snapshot as it travels: by type and name, with a version for each type."""

    resources: Mapping[str, Mapping[str, Resource]]
    versions: Mapping[str, str]

    def of(self, type_name: str) -> Mapping[str, Resource]:
        """The resources of a type."""
        return self.resources.get(type_name, _NOTHING)


class Stream:
    """Its owner hands in requests and targets, and sends what is due until nothing is."""

    def __init__(self, dialect: Dialect) -> None:
        self.node = ""
        self._dialect = dialect
        self._subscriptions: dict[str, Subscription] = {}
        self._target: Target | None = None
        self._sent = 0

    def receive(self, request: Request) -> None:
        """Take a request. A type that is not served is never answered."""
        self.node = self.node or request.node
        kind = request.type_name
        if kind not in ORDER:
            return
        if kind not in self._subscriptions:
            self._subscriptions[kind] = Subscription(kind, self._dialect, is_whole=kind in _WHOLE)
        self._subscriptions[kind].receive(request)

    def publish(self, target: Target) -> None:
        """Bring the proxy to this snapshot from now on."""
        self._target = target

    def due(self) -> Response | None:
        """The next response to send; it counts as sent."""
        if self._target is None:
            return None
        for kind in ORDER:
            subscription = self._subscriptions.get(kind)
            if subscription is None or (kind in _AFTER_CLUSTERS and not self._has(names.CLUSTER_TYPE)):
                continue
            response = subscription.offer(self._offer(kind, self._target), str(self._sent + 1))
            if response is not None:
                self._sent += 1
                if kind == names.CLUSTER_TYPE:
                    self._send_endpoints_again(subscription.updated)
                return response
        return None

    @property
    def errors(self) -> tuple[str, ...]:
        """Why the proxy refuses the snapshot, by type."""
        target = self._target
        if target is None:
            return ()
        found = ((kind, item.refusal(self._offer(kind, target))) for kind, item in self._subscriptions.items())
        return tuple(f"{kind.rpartition('.')[2]}: {error}" for kind, error in found if error)

    @property
    def is_current(self) -> bool:
        """Whether the proxy has taken the whole snapshot and given up what is gone."""
        clusters = self._subscriptions.get(names.CLUSTER_TYPE)
        if self._target is None or clusters is None or not self._is_moved:
            return False
        is_settled = all(item.is_settled for item in self._subscriptions.values())
        return is_settled and not self.errors and clusters.has_only(self._target.of(names.CLUSTER_TYPE))

    @property
    def _is_moved(self) -> bool:
        """Whether no route leads to a cluster that is gone. Before a proxy asks for listeners, nobody knows."""
        is_known = names.LISTENER_TYPE in self._subscriptions
        return is_known and self._has(names.LISTENER_TYPE) and self._has(names.ROUTES_TYPE)

    def _has(self, kind: str) -> bool:
        wanted = self._target.of(kind) if self._target is not None else _NOTHING
        subscription = self._subscriptions.get(kind)
        return subscription.has(wanted) if subscription is not None else kind == names.CLUSTER_TYPE or not wanted

    def _offer(self, kind: str, target: Target) -> Offer:
        keeps = kind == names.CLUSTER_TYPE and not self._is_moved
        return Offer(target.of(kind), target.versions.get(kind, ""), keeps=keeps)

    def _send_endpoints_again(self, clusters: tuple[str, ...]) -> None:
        """A cluster that changes waits for its endpoints anew, and Envoy does not ask for them."""
        if names.ENDPOINTS_TYPE in self._subscriptions:
            for name in clusters:
                self._subscriptions[names.ENDPOINTS_TYPE].forget(name)
