"""What a SecurityPolicy of Envoy Gateway demands of requests, as far as it is enforced. Pure values."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.kube.objects.gateway_api import Cors
from gateway.kube.objects.meta import ObjectName


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a request may bring a credential: headers with what stands before it there, query parameters, cookies."""

    headers: tuple[tuple[str, str], ...] = ()
    params: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKeyAuth:
    """Keys in Secrets: a member's name is the client's id, its value the key. The sources are tried in order.
    `forwarded` is a header in which backends get the client's id; empty: in none."""

    secrets: tuple[ObjectName, ...]
    sources: tuple[Sources, ...]
    forwarded: str = ""


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """Users and the hashes of their passwords in a Secret, as htpasswd writes them. `forwarded` as above."""

    users: ObjectName
    forwarded: str = ""


@dataclass(frozen=True, slots=True)
class RemoteKeys:
    """A key set that Envoy fetches, and for how many seconds it keeps one."""

    uri: str
    cache_seconds: float


@dataclass(frozen=True, slots=True)
class JwtProvider:
    """Who issues tokens, and the keys that verify them: remote ones, those of `inline`, or those in a ConfigMap.
    `claims` are (header, claim) pairs. Without sources a token comes as a bearer token."""

    name: str
    keys: RemoteKeys | ObjectName | str
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    claims: tuple[tuple[str, str], ...] = ()
    sources: Sources | None = None
    chooses_route: bool = False  # whether the claims' headers may lead to another route


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """A token of any of the providers. An optional one is verified only where there is one."""

    providers: tuple[JwtProvider, ...]
    is_optional: bool = False


class ClaimKind(StrEnum):
    TEXT = "String"
    LIST = "StringArray"


@dataclass(frozen=True, slots=True)
class ClaimMatch:
    """A claim of a provider's token, by its path, has one of these values."""

    provider: str
    path: tuple[str, ...]
    values: tuple[str, ...]
    kind: ClaimKind = ClaimKind.TEXT


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Whether requests pass that meet everything that is given: a method of several, an address in one of several
    networks (address, length of its prefix), every header with one of its values, and every claim."""

    name: str
    allows: bool
    methods: tuple[str, ...] = ()
    networks: tuple[tuple[str, int], ...] = ()
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    claims: tuple[ClaimMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class Authorization:
    """The first rule that a request meets decides."""

    rules: tuple[AccessRule, ...]
    allows_others: bool = False


@dataclass(frozen=True, slots=True)
class AccessRules:
    """Everything that is given must hold. `unsupported` are parts that cannot be enforced: with one nothing passes."""

    keys: ApiKeyAuth | None = None
    basic: BasicAuth | None = None
    jwt: JwtAuth | None = None
    authorization: Authorization | None = None
    cors: Cors | None = None
    unsupported: tuple[str, ...] = ()

    @property
    def restricts(self) -> bool:
        """Whether any request could be kept out."""
        return bool(self.keys or self.basic or self.jwt or self.authorization or self.unsupported)
