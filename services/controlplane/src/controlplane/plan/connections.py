"""How the endpoints of each backend are spoken to: TLS, host, key, and changes of the request. Pure.

What is ordered and cannot be done is a condition: no request goes to a backend without the key or the TLS that its
objects name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from controlplane.plan.backend_tls import BackendTls, ordered_by_rule, policy_for, rule_for, validated
from controlplane.plan.credentials import NOBODY, Authentication, authentication, by_key, refused
from controlplane.plan.grants import Referred, Referring, permitted
from controlplane.status.conditions import Condition, unmet
from gateway.kube.objects import (
    AI_GATEWAY_GROUP,
    ENVOY_GATEWAY_GROUP,
    INFERENCE_GROUP,
    NO_CHANGES,
    SERVED_SCHEMA,
    SERVICE_NAME_LABEL,
    AIServiceBackend,
    BackendSecurityPolicy,
    Changes,
    InferencePool,
    Manifests,
    ObjectName,
    Service,
    TrafficPolicy,
)
from gateway.kube.resolution.ai_gateway import backend_name, plain_backend_name
from gateway.kube.resolution.endpoints import PoolEndpoint, service_hostname

KEY_ANNOTATION: Final = "pointsman.dev/api-key-secret"  # of a pool whose servers want a key


@dataclass(frozen=True, slots=True)
class Connection:
    """`name` tells it from others of a cluster. `names_hosts`: each endpoint is asked under its own name."""

    name: str = ""
    tls: BackendTls | None = None
    authentication: Authentication = NOBODY
    changes: Changes = NO_CHANGES
    names_hosts: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether requests go out as they are, in plaintext."""
        return self.tls is None and not self.edits and not self.names_hosts

    @property
    def edits(self) -> bool:
        """Whether requests are changed on their way out."""
        return self.authentication != NOBODY or self.changes != NO_CHANGES


@dataclass(frozen=True, slots=True)
class Member:
    """One endpoint; `hostname` is what it is asked under, empty for the client's own Host. `listener` is one within
    Envoy, which stands in place of an address."""

    address: str
    port: int
    hostname: str = ""
    listener: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints that are spoken to alike."""

    connection: Connection
    members: tuple[Member, ...]


def traffic_policy(service: ObjectName, port: int, manifests: Manifests) -> TrafficPolicy:
    """What a DestinationRule says about a Service's port; the empty policy without one."""
    rule = rule_for(service, manifests)
    return rule.at(port) if rule is not None else TrafficPolicy()


def connection_to(service: ObjectName, port: int, manifests: Manifests) -> Connection | Condition:
    """How a port of a Service is reached, or of the AIServiceBackend that the Service stands for."""
    name = backend_name(service)
    if name is not None:
        return _ai_connection(name, manifests)
    plain = plain_backend_name(service)
    tls: BackendTls | str | None
    if plain is not None:
        tls = _backend_tls(plain, manifests)
        return _without_tls(tls) if isinstance(tls, str) else Connection(str(service), tls)
    tls = _service_tls(service, port, manifests)
    return _without_tls(tls) if isinstance(tls, str) else Connection(str(service), tls)


def pool_groups(
    pool: InferencePool, endpoints: Iterable[PoolEndpoint], manifests: Manifests
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """The endpoints of a pool, by the AIServiceBackend that brought each, and the faults that keep some away."""
    own = _pool_connection(pool, manifests)
    by_backend: dict[ObjectName | None, list[PoolEndpoint]] = {}
    for endpoint in endpoints:
        service = endpoint.labels.get(SERVICE_NAME_LABEL, "")
        by_backend.setdefault(backend_name(ObjectName(pool.meta.id.namespace, service)), []).append(endpoint)
    groups, faults = [], []
    for name, found in by_backend.items():
        connection = own if name is None else _ai_connection(name, manifests)
        if isinstance(connection, Condition):
            faults.append(connection.message)
        else:
            groups.append(group(connection, found))
    return tuple(groups), tuple(faults)


def group(connection: Connection, endpoints: Iterable[PoolEndpoint]) -> Group:
    """Endpoints with what they are asked under."""
    members = (Member(item.address, item.port, _hostname(connection, item)) for item in endpoints)
    return Group(connection, tuple(members))


def changed(found: Group, changes: Changes) -> Group:
    """The same endpoints, for requests that a route changes too."""
    if changes == NO_CHANGES:
        return found
    return replace(found, connection=replace(found.connection, changes=found.connection.changes.then(changes)))


def _hostname(connection: Connection, endpoint: PoolEndpoint) -> str:
    return endpoint.name if connection.names_hosts and endpoint.name != endpoint.address else ""


def _without_tls(message: str) -> Condition:
    return unmet("ResolvedRefs", "InvalidTLS", message)


def _service_tls(service: ObjectName, port: int, manifests: Manifests) -> BackendTls | str | None:
    rule = rule_for(service, manifests)
    settings = rule.at(port).tls if rule is not None else None
    if rule is not None and settings is not None:
        return ordered_by_rule(rule, settings, service_hostname(*service), manifests)
    policy = policy_for("", "Service", service, _port_names(manifests.services.get(service), port), manifests)
    return validated(f"BackendTLSPolicy {policy.meta.id}", policy.validation, manifests) if policy else None


def _port_names(service: Service | None, port: int) -> Sequence[str]:
    return tuple(item.name for item in service.ports if item.port == port) if service is not None else ()


def _pool_connection(pool: InferencePool, manifests: Manifests) -> Connection | Condition:
    name = pool.meta.id
    policy = policy_for(INFERENCE_GROUP, "InferencePool", name, (), manifests)
    tls = validated(f"BackendTLSPolicy {policy.meta.id}", policy.validation, manifests) if policy else None
    if isinstance(tls, str):
        return _without_tls(tls)
    secret = pool.meta.annotations.get(KEY_ANNOTATION, "")
    found = _authentication("InferencePool", name, "", manifests)
    if found is NOBODY and secret:
        found = by_key(f"InferencePool {name}", "APIKey", ObjectName(name.namespace, secret), manifests)
    return found if isinstance(found, Condition) else Connection(str(name), tls, found)


def _ai_connection(name: ObjectName, manifests: Manifests) -> Connection | Condition:
    backend = manifests.ai_backends[name]
    if backend.schema != SERVED_SCHEMA:
        message = f"AIServiceBackend {name}: schema {backend.schema} is not supported; {SERVED_SCHEMA} is"
        return unmet("ResolvedRefs", "UnsupportedProtocol", message)
    ref = backend.backend
    referring = Referring(AI_GATEWAY_GROUP, "AIServiceBackend", name.namespace)
    if not permitted(manifests, referring, Referred(ref.group, ref.kind, ref.id)):
        message = f"AIServiceBackend {name}: no ReferenceGrant lets it refer to {ref.kind} {ref.id}"
        return unmet("ResolvedRefs", "RefNotPermitted", message)
    if ref.kind == "Backend" and ref.id not in manifests.backends:
        return unmet("ResolvedRefs", "BackendNotFound", f"AIServiceBackend {name}: no Backend {ref.id}")
    if ref.kind not in ("Backend", "Service"):
        return unmet("ResolvedRefs", "InvalidKind", f"AIServiceBackend {name}: {ref.kind} is no kind of backend")
    tls = _ai_tls(backend, manifests)
    if isinstance(tls, str):
        return _without_tls(tls)
    found = _authentication("AIServiceBackend", name, backend.security_policy, manifests)
    if isinstance(found, Condition):
        return found
    return Connection(str(name), tls, found, backend.changes, names_hosts=True)


def _ai_tls(backend: AIServiceBackend, manifests: Manifests) -> BackendTls | str | None:
    ref = backend.backend
    if ref.is_service:
        return _service_tls(ref.id, ref.port or 0, manifests)
    return _backend_tls(ref.id, manifests)


def _backend_tls(name: ObjectName, manifests: Manifests) -> BackendTls | str | None:
    policy = policy_for(ENVOY_GATEWAY_GROUP, "Backend", name, (), manifests)
    if policy is not None:
        return validated(f"BackendTLSPolicy {policy.meta.id}", policy.validation, manifests)
    found = manifests.backends.get(name)
    if found is None or found.tls is None:
        return None
    validation = found.tls
    if not validation.hostname:  # a certificate is for the name that the Backend has
        validation = replace(validation, hostname=next((item.host for item in found.endpoints if item.is_name), ""))
    return validated(f"Backend {name}", validation, manifests)


def _authentication(kind: str, name: ObjectName, older: str, manifests: Manifests) -> Authentication | Condition:
    """By the BackendSecurityPolicy that an object refers to itself, or the first that targets it."""
    if older:
        policy = manifests.security_policies.get(ObjectName(name.namespace, older))
        if policy is None:
            return refused(f"{kind} {name}: no BackendSecurityPolicy {older}")
    else:
        policy = next(_targeting(kind, name, manifests), None)
    return NOBODY if policy is None else authentication(policy, manifests)


def _targeting(kind: str, name: ObjectName, manifests: Manifests) -> Iterator[BackendSecurityPolicy]:
    for _, policy in sorted(manifests.security_policies.items()):
        if policy.meta.id.namespace == name.namespace and (kind, name.name) in (
            (item.kind, item.name) for item in policy.targets
        ):
            yield policy
