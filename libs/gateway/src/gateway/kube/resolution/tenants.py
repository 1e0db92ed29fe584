"""The tenants that ConfigMaps name. Pure."""

from gateway.kube.objects import Manifests
from gateway.tenancy.tenants import Tenants, tenants_of


def tenants(manifests: Manifests, namespace: str | None = None) -> Tenants:
    """All of them, or those of one namespace when it is given."""
    return tenants_of([
        found.tenants
        for _, found in sorted(manifests.config_maps.items())
        if found.tenants is not None and namespace in (None, found.meta.id.namespace)
    ])  # fmt: skip
