"""What is compared: configurations of the picker, and two policies that any proxy has. Pure values.

A contender is named and holds its text, so that another process can read it anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any, Final

from epp.config import parse_config
from epp.config.defaults import DEFAULT_TEXT
from lab.simulation.baselines import least_request, round_robin
from lab.simulation.policies import Pointsman, Policy
from model_sim.engine.profile import EngineConfig

LEAST_REQUEST: Final = "least-request"
ROUND_ROBIN: Final = "round-robin"
DEFAULT: Final = "default"
Plugins = Mapping[str, type[Any]]


@dataclass(frozen=True, slots=True)
class Contender:
    """A name for people, and an EndpointPickerConfig; without one it is the proxy's policy of that name."""

    name: str
    text: str | None = None

    def policy(self, servers: int, engine: EngineConfig, seed: int, plugins: Plugins) -> Policy:
        """It, ready for one run. `plugins` are types of the user's own."""
        if self.text is not None:
            config = parse_config(self.text, self.name, plugins)
            return Pointsman(config, servers, engine, Random(f"picker {seed}"))
        if self.name == ROUND_ROBIN:
            return round_robin(servers)
        return least_request(servers, Random(f"least {seed}"))


BUILT_IN: Final[Mapping[str, Contender]] = MappingProxyType({
    LEAST_REQUEST: Contender(LEAST_REQUEST),
    ROUND_ROBIN: Contender(ROUND_ROBIN),
    DEFAULT: Contender(DEFAULT, DEFAULT_TEXT),
})  # fmt: skip
