"""The two generations of the reference's metric names: `inference_…`, and `llm_d_epp_…` of llm-d's router. Pure.

One set of figures, rendered under either name, or under both where dashboards of both are fed; never twice under one.
"""

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from gateway.service.metrics import Metric

PREFIX: Final = "llm_d_epp_"


class Names(Enum):
    """Which generation is shown."""

    INFERENCE = "inference"
    LLM_D = "llm-d"
    BOTH = "both"


# The later name of a family, without its prefix; a family that is not here has one name only.
_LATER: Final[Mapping[str, str]] = MappingProxyType({
    **{f"inference_objective_{former}": later for former, later in {
        "request_total": "request_total",
        "request_error_total": "request_error_total",
        "request_duration_seconds": "request_duration_seconds",
        "request_sizes": "request_size_bytes",
        "response_sizes": "response_size_bytes",
        "input_tokens": "request_input_tokens",
        "output_tokens": "request_output_tokens",
        "prompt_cached_tokens": "request_cached_tokens",
        "running_requests": "request_running",
        "normalized_time_per_output_token_seconds": "request_ntpot_seconds",
        "request_ttft_seconds": "request_ttft_seconds",
    }.items()},
    **{f"inference_pool_{former}": later for former, later in {
        "average_kv_cache_utilization": "average_kv_cache_utilization",
        "average_queue_size": "average_queue_size",
        "average_running_requests": "average_running_requests",
        "ready_pods": "ready_endpoints",
        "per_pod_queue_size": "per_endpoint_queue_size",
    }.items()},
    **{f"inference_extension_{name}": name for name in (
        "scheduler_e2e_duration_seconds", "scheduler_attempts_total", "info", "model_rewrite_decisions_total",
        "prefix_indexer_size", "prefix_indexer_hit_ratio", "prefix_indexer_hit_bytes",
    )},
})  # fmt: skip
_EXTENSION: Final = "inference_extension_"
_LATER_LABELS: Final = (
    (re.compile(r'([{,])pod_name="'), r'\1endpoint_name="'),
    (re.compile(r'([{,])model_server_pod="'), r'\1model_server_endpoint="'),
)
_HELP: Final = "# HELP "


class Generations:
    """What a registry renders, under the names that are wanted."""

    def __init__(self, source: Metric, names: Names) -> None:
        self._source = source
        self._names = names

    def render(self) -> str:
        """All families as of now."""
        text = self._source.render()
        return text if self._names is Names.INFERENCE else "".join(self._named(text))

    def _named(self, text: str) -> Iterator[str]:
        for family in text.split(_HELP)[1:]:
            name = family.partition(" ")[0]
            later = _later_name(name)
            if later is None or self._names is Names.BOTH:
                yield _HELP + family
            if later is not None:
                yield _renamed(_HELP + family, name, later)


def _later_name(name: str) -> str | None:
    later = _LATER.get(name)
    if later is None and name.startswith(f"{_EXTENSION}flow_control_"):
        later = name.removeprefix(_EXTENSION)
    return None if later is None else PREFIX + later


def _renamed(family: str, name: str, later: str) -> str:
    """A family's lines; its name stands at the beginning of each, or behind `# HELP` and `# TYPE`."""
    text = re.sub(rf"^(# (?:HELP|TYPE) )?{re.escape(name)}", rf"\g<1>{later}", family, flags=re.MULTILINE)
    for label, written in _LATER_LABELS:
        text = label.sub(written, text)
    return text
