"""The configuration in force where none is given; `epp plugins` and docs/scheduling.md explain it. Pure."""

from epp.config.reading import parse_config
from epp.config.scheduler import SchedulerConfig

# Prefix affinity leads, bounded by the gate; adapters next, since loading one costs as much as a long prefill; a
# conversation stays where it was; queue and cache level decide between endpoints that are equal in all of these. The
# policy lab's figures stand behind the weights (docs/performance-policies.md).
DEFAULT_TEXT = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: affinity-gate
- type: prefix-cache-scorer
- type: lora-placement-scorer
- type: session-affinity-scorer
  parameters: {strategy: session_id}
- type: queue-scorer
- type: kv-cache-utilization-scorer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: affinity-gate}
  - {pluginRef: prefix-cache-scorer, weight: 3}
  - {pluginRef: lora-placement-scorer, weight: 3}
  - {pluginRef: session-affinity-scorer, weight: 1}
  - {pluginRef: queue-scorer, weight: 1}
  - {pluginRef: kv-cache-utilization-scorer, weight: 1}
"""


def default_config() -> SchedulerConfig:
    """The default, freshly read."""
    return parse_config(DEFAULT_TEXT, "default")
