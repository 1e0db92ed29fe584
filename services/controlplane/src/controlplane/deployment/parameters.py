"""How the Envoys of a Gateway are deployed: by the operator's choice, a class's parameters, the Gateway's own. Pure.

A `parametersRef` names a ConfigMap with some of these keys, or a Service that exists: then nothing is deployed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from controlplane.options import SERVICE_TYPES, Deployment
from gateway.kube.objects import DEFAULT_NAMESPACE, Gateway, Manifests, ObjectName, ParametersRef
from gateway.schema.wording import what

AUTOSCALED: Final = "autoscaled"
MOST_REPLICAS: Final = 1000


@dataclass(frozen=True, slots=True)
class Parameters:
    """`replicas` is None where something else scales. With `service` Envoys exist already, behind that Service."""

    service_type: str
    replicas: int | None
    service: ObjectName | None = None


def gateway_parameters(gateway: Gateway, manifests: Manifests, deployment: Deployment) -> Parameters | str:
    """Those of a Gateway, or why they cannot be followed."""
    found = manifests.gateway_classes.get(ObjectName(DEFAULT_NAMESPACE, gateway.class_name))
    of_class = parameters(found.parameters if found else None, manifests, deployment)
    if isinstance(of_class, str):
        return of_class
    return _followed(gateway.infrastructure.parameters, manifests, of_class)


def parameters(ref: ParametersRef | None, manifests: Manifests, deployment: Deployment) -> Parameters | str:
    """Those of a class, or why they cannot be followed."""
    return _followed(ref, manifests, Parameters(deployment.service_type, deployment.replicas))


def _followed(ref: ParametersRef | None, manifests: Manifests, default: Parameters) -> Parameters | str:
    if ref is None:
        return default
    if ref.group or ref.kind not in ("ConfigMap", "Service"):
        return f"parametersRef: expected a ConfigMap or a Service of the core group, got {ref}"
    if ref.kind == "Service":
        return replace(default, service=ref.id)
    found = manifests.config_maps.get(ref.id)
    if found is None:
        return f"parametersRef: no {ref}"
    written = _written(found.data, default)
    return written if isinstance(written, Parameters) else f"parametersRef: {ref}: {written}"


def _written(data: Mapping[str, str], default: Parameters) -> Parameters | str:
    unknown = sorted(data.keys() - {"serviceType", "replicas"})
    if unknown:
        return f"unknown key {unknown[0]}; serviceType and replicas are known"
    service_type = data.get("serviceType", default.service_type)
    if service_type not in SERVICE_TYPES:
        return f"serviceType: expected one of {', '.join(SERVICE_TYPES)}, got {what(service_type)}"
    text = data.get("replicas", "").strip()
    if text == AUTOSCALED:
        return replace(default, service_type=service_type, replicas=None)
    if text and not (text.isdecimal() and int(text) <= MOST_REPLICAS):
        return f"replicas: expected 0 to {MOST_REPLICAS} or {AUTOSCALED}, got {what(text)}"
    return replace(default, service_type=service_type, replicas=int(text) if text else default.replicas)
