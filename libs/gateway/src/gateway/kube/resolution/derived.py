"""Objects of other projects amount to objects of the kinds that are served. Pure."""

from gateway.kube.objects import Manifests
from gateway.kube.resolution.ai_gateway import with_ai_gateway
from gateway.kube.resolution.kaito import with_workspaces


def with_derived(manifests: Manifests) -> Manifests:
    """The same objects with those that KAITO's and then those that Envoy AI Gateway's stand for."""
    return with_ai_gateway(with_workspaces(manifests))
