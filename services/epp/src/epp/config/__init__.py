"""The scheduler's configuration: upstream's `EndpointPickerConfig`, read strictly. Pure."""

from epp.config.defaults import default_config
from epp.config.reading import ConfigError, parse_config
from epp.config.scheduler import SchedulerConfig

__all__ = ["ConfigError", "SchedulerConfig", "default_config", "parse_config"]
