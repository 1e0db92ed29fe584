"""The scheduler's configuration: upstream's `EndpointPickerConfig`, read strictly. Pure."""

from epp.config.defaults import default_config
from epp.config.problems import ConfigError, Problem
from epp.config.scheduler import SchedulerConfig, parse_config

__all__ = ["ConfigError", "Problem", "SchedulerConfig", "default_config", "parse_config"]
