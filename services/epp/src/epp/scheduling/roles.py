"""Which roles a plugin type plays. Pure.

The catalogue declares the roles of built-in types. A type of the user's own plays those whose methods it has; that is
looked up once, when a configuration lists it, and from then on its roles are data.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

FILTER: Final = "filter"
SCORER: Final = "scorer"
PICKER: Final = "picker"
PROFILE_HANDLER: Final = "profile handler"
DECIDER: Final = "decider"
SATURATION_DETECTOR: Final = "saturation detector"
ADMITTER: Final = "admitter"
PRODUCER: Final = "producer"
FAIRNESS_POLICY: Final = "fairness policy"
ORDERING_POLICY: Final = "ordering policy"
USAGE_LIMIT_POLICY: Final = "usage limit policy"

Roles = frozenset[str]
NO_ROLES: Final[Roles] = frozenset()

# The method of each role; see `epp.scheduling.plugin` (for policies `epp.flowcontrol`) for what it takes and answers.
METHODS: Final[Mapping[str, str]] = MappingProxyType({
    FILTER: "keep",
    SCORER: "score",
    PICKER: "pick",
    PROFILE_HANDLER: "run",
    DECIDER: "decides",
    SATURATION_DETECTOR: "saturation",
    ADMITTER: "admits",
    PRODUCER: "producer",
    FAIRNESS_POLICY: "fairness",
    ORDERING_POLICY: "key",
    USAGE_LIMIT_POLICY: "ceilings",
})  # fmt: skip


def roles_of(plugin: type[Any]) -> Roles:
    """The roles of a type that declares none, by its methods."""
    return frozenset(role for role, method in METHODS.items() if callable(getattr(plugin, method, None)))
