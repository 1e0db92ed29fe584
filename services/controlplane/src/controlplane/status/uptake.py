"""What the proxies made of a snapshot, and what that means for conditions: nothing is programmed before Envoy took it.

Pure.
"""

from dataclasses import dataclass

from controlplane.status.conditions import Condition, Place, Status, changed, unmet


@dataclass(frozen=True, slots=True, order=True)
class Refusal:
    """Why a proxy stays with the configuration that it has."""

    node: str
    message: str


@dataclass(frozen=True, slots=True)
class Uptake:
    """`version` is that of the snapshot. Nodes are proxies; if `is_known` is false nobody can be asked."""

    version: str = ""
    taken: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    is_known: bool = True

    @property
    def is_taken(self) -> bool:
        """Whether every proxy has it, and there is one; taken for granted where nobody can be asked."""
        return not self.is_known or bool(self.taken and not self.waiting and not self.refusals)


def programmed(status: Status, fault: Condition | None) -> Status:
    """A status in which nothing counts as programmed, for a fault."""
    if fault is None:
        return status

    def change(_place: Place, condition: Condition) -> Condition:
        return fault if condition.type == fault.type and condition.is_true else condition

    return changed(status, change)


def not_whole(faults: tuple[str, ...]) -> Condition:
    """The fault of a configuration that is not offered to any proxy."""
    return unmet("Programmed", "Invalid", f"{'; '.join(faults)}. What was served before still is")


def not_taken(uptake: Uptake) -> Condition | None:
    """The fault of a configuration that a proxy refuses or has not taken yet; None for one that all have."""
    if uptake.is_taken:
        return None
    if uptake.refusals:
        reasons = "; ".join(f"Envoy {found.node} refuses it: {found.message}" for found in uptake.refusals)
        return unmet("Programmed", "Invalid", f"{reasons}. What it had before is still served")
    waiting = ", ".join(uptake.waiting)
    return unmet("Programmed", "Pending", f"Envoy {waiting} has not taken it yet" if waiting else "no Envoy is there")
