"""What earlier releases of the upstreams wrote, as what it means today. Pure values.

Types that need other parameters today are in `epp.scheduling.former`, sections that moved in `reading` and `selection`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

GIE: Final = "inference.networking.x-k8s.io/v1alpha1"
LLM_D: Final = "llm-d.ai/v1alpha1"

# The version whose defaults hold, by every spelling that a release or its documents had.
API_VERSIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        GIE: GIE,
        LLM_D: LLM_D,
        "llm-d.ai/v1": LLM_D,
        "config.apix.gateway-api-inference-extension.sigs.k8s.io/v1alpha1": GIE,
        "config.x-k8s.io/v1alpha1": GIE,
    }
)

# Types that have another name today, and the same parameters.
RENAMED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "by-label-selector": "label-selector-filter",
        "kv-cache-scorer": "kv-cache-utilization-scorer",
        "model-server-protocol-metrics": "core-metrics-extractor",
        "model-server-protocol-models": "models-data-extractor",
        "tokenizer": "token-producer",
    }
)
