"""`llmRequestCosts` of Envoy AI Gateway's routes and of its GatewayConfig are read. Pure."""

from typing import Final

from gateway.kube.objects import CostType, GatewayConfig, Meta, RequestCost
from gateway.kube.reading.parts import spec_of
from gateway.schema.fields import Fields

MOST: Final = 36


def request_costs(spec: Fields, key: str) -> tuple[RequestCost, ...]:
    """The costs in a list; a key of the metadata that is written twice is a problem."""
    items = spec.children(key, MOST)
    found = tuple(_cost(item) for item in items)
    if len({cost.key for cost in found}) != len(found):
        spec.problem(key, "each metadataKey may be written once")
    return found


def _cost(item: Fields) -> RequestCost:
    kind = CostType(item.choice("type", tuple(CostType), CostType.OUTPUT))
    item.text("cel", required=kind is CostType.CEL)
    cost = RequestCost(item.text("metadataKey", required=True), kind)
    item.done()
    return cost


def gateway_config(meta: Meta, top: Fields) -> GatewayConfig:
    spec = spec_of(top)
    spec.ignored("extProc", "without effect here: there is no such container")
    spec.ignored("forwardProxy", "without effect here: backends are connected to directly")
    costs = request_costs(spec, "globalLLMRequestCosts")
    spec.done()
    return GatewayConfig(meta, costs)
