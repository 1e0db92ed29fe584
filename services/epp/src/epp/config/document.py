"""A YAML document that remembers where each value stands. Pure: text in, `Value` out.

Strict where YAML is lax: a key that stands twice is a problem, not a silent override.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import yaml

from epp.config.problems import ConfigError, Problem, nearest
from epp.scheduling.units import Quantity, Seconds

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_DURATION_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_QUANTITY = re.compile(r"^(\d+(?:\.\d+)?)(?:[eE]([+-]?\d{1,2})|(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei))?$")
_QUANTITY_UNITS: dict[str | None, float] = {
    None: 1,
    "m": 0.001,
    **{unit: 1000 ** (at + 1) for at, unit in enumerate("kMGTPE")},
    **{f"{unit}i": 1024 ** (at + 1) for at, unit in enumerate("KMGTPE")},
}


@dataclass(slots=True)
class Report:
    """Collects problems and warnings of one document, so that all are told at once."""

    source: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    references: list[tuple["Value", str]] = field(default_factory=list)  # names of other plugins, and their parts


@dataclass(frozen=True, slots=True)
class Value:
    """One YAML node with its path. Readers report what does not fit and return None."""

    node: yaml.Node
    path: str
    report: Report
    key: yaml.Node | None = None  # what it stands behind

    @property
    def line(self) -> int:
        """The line it starts on, from 1."""
        return int(self.node.start_mark.line) + 1

    def at_key(self) -> "Value":
        """The same place, but at its key, which may stand a line above."""
        return self if self.key is None else Value(self.key, self.path, self.report)

    def problem(self, message: str) -> None:
        """Report what is wrong here."""
        self.report.problems.append(Problem(self.report.source, self.line, self.path, message))

    def warn(self, message: str) -> None:
        """Report what will not do what it says."""
        self.report.warnings.append(Problem(self.report.source, self.line, self.path, message))

    @property
    def is_null(self) -> bool:
        """Whether it is absent in effect: nothing, ~ or null."""
        return bool(self.node.tag == "tag:yaml.org,2002:null")

    @property
    def kind(self) -> str:
        """What it is, for messages."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return "nothing" if self.is_null else repr(self.node.value)

    def members(self) -> dict[str, "Value"]:
        """The entries of a mapping."""
        if self.is_null:
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            self.problem(f"expected a mapping, got {self.kind}")
            return {}
        found: dict[str, Value] = {}
        for key_node, value_node in self.node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                Value(key_node, self.path, self.report).problem("expected a name before the colon")
                continue
            key = str(key_node.value)
            value = Value(value_node, f"{self.path}.{key}" if self.path else key, self.report, key_node)
            if key in found:
                value.at_key().problem("stands twice")
            found[key] = value
        return found

    def known_members(self, valid: Iterable[str]) -> dict[str, "Value"]:
        """The entries of a mapping; a key that is not valid is a problem."""
        names = list(valid)
        found = self.members()
        for key in [key for key in found if key not in names]:
            found[key].at_key().problem(f"unknown key{nearest(key, names)}")
            del found[key]
        return found

    def items(self) -> Iterator["Value"]:
        """The items of a list."""
        if self.is_null:
            return
        if not isinstance(self.node, yaml.SequenceNode):
            self.problem(f"expected a list, got {self.kind}")
            return
        for index, node in enumerate(self.node.value):
            yield Value(node, f"{self.path}[{index}]", self.report)

    def text(self) -> str | None:
        """A string."""
        if isinstance(self.node, yaml.ScalarNode) and self.node.tag.endswith((":str", ":timestamp")):
            return str(self.node.value)
        self._misfit("a string")
        return None

    def anything(self) -> str:
        """Whatever it is, nothing if it is empty; for values that nobody looks into."""
        return self.kind if self.node.value else "nothing"

    def boolean(self) -> bool | None:
        """True or false."""
        if isinstance(self.node, yaml.ScalarNode) and self.node.tag.endswith(":bool"):
            return str(self.node.value).lower() in ("true", "yes", "on")
        self._misfit("true or false")
        return None

    def integer(self) -> int | None:
        """A whole number."""
        number = self.number("a whole number")
        if number is None or number == int(number):
            return None if number is None else int(number)
        self._misfit("a whole number")
        return None

    def number(self, expected: str = "a number") -> float | None:
        """A finite number."""
        number = _number(self.node)
        if number is None:
            self._misfit(expected)
        return number

    def seconds(self) -> Seconds | None:
        """A duration like 200ms; a bare 0 is one, too."""
        text = str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else ""
        parts = _DURATION.findall(text)
        if text == "0":
            return Seconds(0.0)
        if not parts or "".join(amount + unit for amount, unit in parts) != text:
            self._misfit("a duration like 200ms or 1m30s")
            return None
        return Seconds(sum(float(amount) * _DURATION_UNITS[unit] for amount, unit in parts))

    def quantity(self) -> Quantity | None:
        """A quantity like 1Gi or 500."""
        found = _QUANTITY.match(str(self.node.value)) if isinstance(self.node, yaml.ScalarNode) else None
        if found is None:
            self._misfit("a quantity like 1Gi, 500M or 100")
            return None
        scale = _QUANTITY_UNITS[found[3]] if found[2] is None else 10.0 ** int(found[2])
        return Quantity(int(float(found[1]) * scale))

    def _misfit(self, expected: str) -> None:
        self.problem(f"expected {expected}, got {self.kind}")


def _number(node: yaml.Node) -> float | None:
    if not isinstance(node, yaml.ScalarNode) or not node.tag.endswith((":int", ":float")):
        return None
    try:
        number = float(yaml.constructor.SafeConstructor().construct_object(node))
    except (OverflowError, ValueError):  # too many digits
        return None
    return number if math.isfinite(number) else None


def read(text: str, source: str) -> Value:
    """The one document of a YAML text; raises ConfigError where it is none."""
    report = Report(source)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.problem, error.context) if part)
        line = 1 if mark is None else mark.line + 1
        raise ConfigError([Problem(source, line, "", f"not valid YAML: {words}")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(source, 1, "", f"not valid YAML: {' '.join(str(error).split())}")]) from None
    except RecursionError:
        raise ConfigError([Problem(source, 1, "", "not valid YAML: nested too deeply")]) from None
    if node is None:
        raise ConfigError([Problem(source, 1, "", "the document is empty")])
    return Value(node, "", report)
