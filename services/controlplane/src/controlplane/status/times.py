"""Since when each condition is as it is. Pure; the time of day is an argument."""

from dataclasses import replace

from controlplane.status.conditions import Condition, Place, Status, changed


def stamped(status: Status, before: Status, now: str) -> Status:
    """Each condition with the time at which it became true or false: now, unless it was so before. A new reason or
    message alone changes no time, as Kubernetes has it."""
    known: dict[tuple[Place, str], Condition] = {}

    def learn(place: Place, condition: Condition) -> Condition:
        known[place, condition.type] = condition
        return condition

    def stamp(place: Place, condition: Condition) -> Condition:
        former = known.get((place, condition.type))
        is_same = former is not None and former.is_true == condition.is_true
        return replace(condition, since=former.since if is_same and former is not None else now)

    changed(before, learn)
    return changed(status, stamp)
