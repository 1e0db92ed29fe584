"""Fairness policies as plugins: frozen values that make the state of each band. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from epp.flowcontrol.fairness import Fairness, GlobalStrict, LeastServed, RoundRobin
from epp.flowcontrol.items import Size
from epp.scheduling.plugin import parameter

_WHY_WEIGHTS = "how much more a fairness id gets than others; 1 where it is not listed"


class FairnessPolicy(Protocol):
    """A fairness policy."""

    def fairness(self) -> Fairness:
        """What one band keeps."""


@dataclass(frozen=True, slots=True)
class GlobalStrictFairness:
    """Ignores fairness ids: the band is one queue in its order."""

    def fairness(self) -> Fairness:
        """Nothing is kept."""
        return GlobalStrict()


@dataclass(frozen=True, slots=True)
class RoundRobinFairness:
    """Takes one request of each fairness id in turn."""

    def fairness(self) -> Fairness:
        """The turns."""
        return RoundRobin()


@dataclass(frozen=True, slots=True)
class WeightedFairness:
    """Gives each fairness id requests in proportion to its weight."""

    weights: Mapping[str, float] = parameter({}, _WHY_WEIGHTS)

    def problem(self) -> str | None:
        """A weight divides."""
        return _problem(self.weights)

    def fairness(self) -> Fairness:
        """Requests served."""
        return LeastServed(_requests, 0.0, self.weights)


@dataclass(frozen=True, slots=True)
class TokenFairness:
    """Gives each fairness id tokens in proportion to its weight, those of prompts and those of answers."""

    weights: Mapping[str, float] = parameter({}, _WHY_WEIGHTS)
    output_token_weight: float = parameter(
        2.0, "what a token of an answer counts against one of a prompt: decoding costs more", minimum=0
    )

    def problem(self) -> str | None:
        """A weight divides."""
        return _problem(self.weights)

    def fairness(self) -> Fairness:
        """Tokens served."""
        return LeastServed(_tokens, self.output_token_weight, self.weights)


def _requests(size: Size) -> float:
    return size.requests


def _tokens(size: Size) -> float:
    return size.tokens


def _problem(weights: Mapping[str, float]) -> str | None:
    wrong = next((key for key, weight in weights.items() if weight <= 0), None)
    return None if wrong is None else f"weights: expected more than 0 for {wrong!r}, got {weights[wrong]:g}"
