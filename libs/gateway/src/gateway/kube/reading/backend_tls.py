"""A BackendTLSPolicy of the Gateway API is read (v1, v1beta1, v1alpha3, v1alpha2). Pure."""

from gateway.kube.objects import BackendTLSPolicy, CertificateRef, Meta, ObjectName, PolicyTarget, Validation
from gateway.kube.reading.parts import check_sections, spec_of
from gateway.schema.fields import Fields


def backend_tls_policy(meta: Meta, top: Fields) -> BackendTLSPolicy:
    spec = spec_of(top)
    spec.ignored("options", "without effect here")
    one = spec.child("targetRef")
    targets = tuple(target_of(item) for item in (*([one] if one else ()), *spec.children("targetRefs", 16)))
    named = [((item.group, item.kind, item.name), item.section) for item in targets]
    check_sections(spec, "targetRefs", named, "sectionName")
    written = spec.child("validation") or spec.child("tls", required=True)
    spec.done()
    validation = _validation(meta, written) if written else Validation("")
    return BackendTLSPolicy(meta, targets, validation)


def target_of(item: Fields) -> PolicyTarget:
    """A reference to an object of the policy's own namespace."""
    target = PolicyTarget(
        group=item.text("group"),
        kind=item.text("kind", required=True),
        name=item.name("name", required=True),
        section=item.text("sectionName"),
    )
    item.known("namespace")
    item.done()
    return target


def authority_refs(meta: Meta, item: Fields) -> tuple[CertificateRef, ...]:
    """`caCertificateRefs`, or nothing for the authorities of the system."""
    refs = tuple(_authority(meta, ref) for ref in item.children("caCertificateRefs", 8))
    known = item.choice("wellKnownCACertificates", ("", "System"), "")
    if refs and known:
        item.problem("wellKnownCACertificates", "may not be written beside caCertificateRefs")
    return refs


def _validation(meta: Meta, item: Fields) -> Validation:
    hostname = item.text("hostname", required=True)
    refs = authority_refs(meta, item)
    if not refs and not item.has("wellKnownCACertificates"):
        item.problem("caCertificateRefs", "one of caCertificateRefs and wellKnownCACertificates is required")
    names = tuple(_name(name) for name in item.children("subjectAltNames", 5))
    item.done()
    return Validation(hostname, refs, names)


def _name(item: Fields) -> str:
    kind = item.choice("type", ("Hostname", "URI"), "Hostname")
    name = item.text("hostname" if kind == "Hostname" else "uri", required=True)
    item.done()
    return name


def _authority(meta: Meta, item: Fields) -> CertificateRef:
    ref = CertificateRef(
        item.text("group"),
        item.text("kind", required=True),
        ObjectName(meta.id.namespace, item.name("name", required=True)),
    )
    item.done()
    return ref
