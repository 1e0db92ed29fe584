"""The `flowControl` section as it is written; `queues` makes of it what is in force. Pure."""

from dataclasses import dataclass

from epp.scheduling.plugin import parameter
from epp.scheduling.units import Quantity, Seconds


@dataclass(frozen=True, slots=True)
class PluginReference:
    """Another plugin, by name."""

    plugin_ref: str = parameter("", "its name")


@dataclass(frozen=True, slots=True)
class PriorityBand:
    """All requests of one priority."""

    priority: int = parameter(0, "higher is served first")
    max_bytes: Quantity = parameter(Quantity(1_000_000_000), "body bytes that may wait", unit="bytes", minimum=0)
    max_requests: Quantity = parameter(Quantity(5000), "requests that may wait", unit="requests", minimum=0)
    max_tokens: Quantity = parameter(
        Quantity(0), "prompt tokens that may wait; 0 is no limit", unit="tokens", minimum=0
    )
    ordering_policy_ref: str = parameter(
        "fcfs-ordering-policy", "which request of a flow is next", reference="ordering policy"
    )
    fairness_policy_ref: str = parameter(
        "global-strict-fairness-policy", "which flow is next", reference="fairness policy"
    )


@dataclass(frozen=True, slots=True)
class FlowControl:
    """Limits and policies of waiting requests."""

    max_bytes: Quantity = parameter(Quantity(0), "body bytes that may wait in all; 0 is no limit", unit="bytes")
    max_requests: Quantity = parameter(Quantity(0), "requests that may wait in all; 0 is no limit", unit="requests")
    max_tokens: Quantity = parameter(Quantity(0), "prompt tokens that may wait in all; 0 is no limit", unit="tokens")
    default_request_ttl: Seconds = parameter(Seconds(60.0), "longest wait; 0 is any", key="defaultRequestTTL")
    no_endpoint_request_ttl: Seconds | None = parameter(
        None, "longest wait while the pool is empty; without it the same", key="noEndpointRequestTTL"
    )
    default_priority_band: PriorityBand | None = parameter(None, "for priorities not listed")
    default_negative_priority_band: PriorityBand | None = parameter(None, "for negative priorities not listed")
    priority_bands: tuple[PriorityBand, ...] = parameter((), "bands with settings of their own")
    usage_limit_policy_plugin_ref: str = parameter(
        "static-usage-limit-policy", "how full the pool may get per priority", reference="usage limit policy"
    )
    saturation_detector: PluginReference | None = parameter(None, "what measures how full the pool is")
    enable_eviction: bool = parameter(False, "end sheddable answers for more important requests")
