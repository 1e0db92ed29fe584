"""The configuration in force where none is given; `epp plugins` and docs/scheduling.md explain it. Pure."""

from epp.config.scheduler import SchedulerConfig, parse_config

DEFAULT_TEXT = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""


def default_config() -> SchedulerConfig:
    """The default, freshly read."""
    return parse_config(DEFAULT_TEXT, "default")
