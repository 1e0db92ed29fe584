"""TLS towards a backend or an endpoint picker, from whichever object orders it. Pure.

A DestinationRule comes before a BackendTLSPolicy. What one refers to and is not there is a fault: nothing is sent in
plaintext, or to a server that nobody verified, because a Secret is missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.plan.certificates import CHAIN_KEY, Certificate, certificate, has_certificates
from gateway.kube.objects import (
    BackendTLSPolicy,
    CertificateRef,
    DestinationRule,
    Manifests,
    ObjectName,
    TlsMode,
    TlsSettings,
    Validation,
)
from gateway.kube.resolution.endpoints import service_hostname

AUTHORITY_KEY: Final = "ca.crt"


@dataclass(frozen=True, slots=True)
class BackendTls:
    """`authorities` is PEM; without it the file counts, and without that those of the system. `names`: the server's
    certificate must have one of them. `certificate` or the files of a chain and a key are shown to the server."""

    server_name: str = ""
    is_verified: bool = True
    authorities: bytes = b""
    authorities_file: str = ""
    names: tuple[str, ...] = ()
    certificate: Certificate | None = None
    certificate_files: tuple[str, str] | None = None


def unverified(server_name: str) -> BackendTls:
    """TLS that takes any certificate, as fits the self-signed one of a picker."""
    return BackendTls(server_name, is_verified=False)


def rule_for(service: ObjectName, manifests: Manifests) -> DestinationRule | None:
    """The DestinationRule whose host is the Service, in any of the ways that Istio lets one write it; else the one with
    the longest wildcard that covers it."""
    full = service_hostname(*service)
    names = (f"{service.name}.{service.namespace}", full, f"{full}.cluster.local")
    rules = sorted(manifests.destination_rules.items())
    for name, rule in rules:
        local = rule.host == service.name and name.namespace == service.namespace
        if local or rule.host in names:
            return rule
    covering = [rule for _, rule in rules if rule.host.startswith("*") and names[-1].endswith(rule.host[1:])]
    return max(covering, key=lambda rule: len(rule.host), default=None)


def ordered_by_rule(
    rule: DestinationRule, settings: TlsSettings, hostname: str, manifests: Manifests
) -> BackendTls | str | None:
    """What a DestinationRule says: TLS, a fault, or (None) plaintext."""
    if settings.mode is TlsMode.DISABLE:
        return None
    authorities, shown = b"", None
    if settings.credential_name:
        name = ObjectName(rule.meta.id.namespace, settings.credential_name)
        secret = manifests.secrets.get(name)
        if secret is None:
            return f"DestinationRule {rule.meta.id}: no Secret {name}"
        authorities = secret.data.get(AUTHORITY_KEY) or secret.data.get("cacert", b"")
        if settings.mode is TlsMode.MUTUAL or CHAIN_KEY in secret.data:
            found = certificate(secret)
            if isinstance(found, str):
                return f"DestinationRule {rule.meta.id}: {found}"
            shown = found
    server_name = settings.sni or hostname
    has_own = bool(authorities or settings.ca_certificates)
    files = (settings.client_certificate, settings.private_key) if settings.client_certificate else None
    return BackendTls(
        server_name=server_name,
        is_verified=not settings.insecure_skip_verify,
        authorities=authorities,
        authorities_file=settings.ca_certificates,
        # Of all the world's authorities any would do for a server of any name.
        names=settings.subject_alt_names or (() if has_own else (server_name,)),
        certificate=shown,
        certificate_files=files,
    )


def policy_for(
    group: str, kind: str, name: ObjectName, sections: Sequence[str], manifests: Manifests
) -> BackendTLSPolicy | None:
    """The BackendTLSPolicy of an object, or of one of its sections: the first by name."""
    policies = (policy for _, policy in sorted(manifests.tls_policies.items()))
    return next((policy for policy in policies if _is_for(policy, (group, kind, name), sections)), None)


def _is_for(policy: BackendTLSPolicy, wanted: tuple[str, str, ObjectName], sections: Sequence[str]) -> bool:
    return any(
        (item.group, item.kind, ObjectName(policy.meta.id.namespace, item.name)) == wanted
        and item.section in ("", *sections)
        for item in policy.targets
    )


def validated(source: str, validation: Validation, manifests: Manifests) -> BackendTls | str:
    """What a BackendTLSPolicy or a Backend says; `source` names it in a fault."""
    if validation.is_skipped:
        return unverified(validation.hostname)
    found = tuple(_authorities(validation.authorities, manifests))
    fault = next((item for item in found if isinstance(item, str)), None)
    if fault is not None:
        return f"{source}: {fault}"
    return BackendTls(
        server_name=validation.hostname,
        authorities=b"\n".join(item for item in found if isinstance(item, bytes)),
        names=validation.names or ((validation.hostname,) if validation.hostname else ()),
    )


def _authorities(refs: Sequence[CertificateRef], manifests: Manifests) -> Iterator[bytes | str]:
    for ref in refs:
        text = _text(ref, manifests)
        if text is None:
            yield f"no {ref.kind} {ref.id}"
        elif not has_certificates(text):
            yield f"{ref.kind} {ref.id} has no certificate in {AUTHORITY_KEY}"
        else:
            yield text


def _text(ref: CertificateRef, manifests: Manifests) -> bytes | None:
    if ref.kind == "ConfigMap" and ref.id in manifests.config_maps:
        return manifests.config_maps[ref.id].data.get(AUTHORITY_KEY, "").encode()
    if ref.kind == "Secret" and ref.id in manifests.secrets:
        return manifests.secrets[ref.id].data.get(AUTHORITY_KEY, b"")
    return None
