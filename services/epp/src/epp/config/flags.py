"""What the reference's flags say of scrapes, for where the configuration does not say it itself. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from epp.config.engines import MetricsDataSource, selector
from epp.config.scheduler import SchedulerConfig

# The flag of each figure of an engine, by the figure's name in `engines.EngineMapping`.
METRIC_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "waiting": "--total-queued-requests-metric",
        "running": "--total-running-requests-metric",
        "kv_usage": "--kv-cache-usage-percentage-metric",
        "lora": "--lora-info-metric",
        "cache_info": "--cache-info-metric",
    }
)
# The flag of each parameter of metrics-data-source.
SOURCE_FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "scheme": "--model-server-metrics-scheme",
        "path": "--model-server-metrics-path",
        "port": "--model-server-metrics-port",
        "insecure_skip_verify": "--model-server-metrics-https-insecure-skip-verify",
    }
)


@dataclass(frozen=True, slots=True)
class ScrapeFlags:
    """`metrics` are selectors by figure, an empty one for a figure that the engine does not report."""

    metrics: Mapping[str, str] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def problem(self) -> str | None:
        """The first value that cannot be."""
        for figure, text in self.metrics.items():
            if text and selector(text) is None:
                return f"{METRIC_FLAGS[figure]}: {text!r} is not a metric selector like family{{label=value}}"
        return None

    def applied(self, config: SchedulerConfig) -> SchedulerConfig:
        """The configuration with these values: its own plugins and its own entry for the default engine win."""
        if self.source and not any(isinstance(plugin, MetricsDataSource) for plugin in config.plugins.values()):
            config = replace(config, metrics=replace(config.metrics, **self.source))
        extractor = config.extractor
        if self.metrics and all(engine.name != extractor.default_engine for engine in extractor.engine_configs):
            flagged = {figure: selector(text) for figure, text in self.metrics.items()}
            config = replace(config, extractor=replace(extractor, flagged=flagged))
        return config
