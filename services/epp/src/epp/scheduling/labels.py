"""Reads what operators write into labels: roles, context ranges, Kubernetes label selectors. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from epp.scheduling.plugin import parameter

ROLE_LABEL = "llm-d.ai/role"

_RANGE = re.compile(r"^\s*(\d+)\s*-\s*(\d+)\s*$")


def in_range(value: str | None) -> tuple[int, int] | None:
    """`0-8192` as two numbers, the lower first; None for anything else."""
    found = _RANGE.match(value or "")
    span = (int(found[1]), int(found[2])) if found else (1, 0)
    return span if span[0] <= span[1] else None


@dataclass(frozen=True, slots=True)
class MatchExpression:
    """One requirement of a selector."""

    key: str = parameter("", "the label")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = parameter(
        "In", "how it is compared", choices=("In", "NotIn", "Exists", "DoesNotExist")
    )
    values: tuple[str, ...] = parameter((), "what it is compared with")

    def problem(self) -> str | None:
        """As Kubernetes has it."""
        if not self.key:
            return "key is missing"
        compares = self.operator in ("In", "NotIn")
        if compares != bool(self.values):
            return f"operator {self.operator} needs {'values' if compares else 'no values'}"
        return None

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil it."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
