"""Profile handlers: which profiles run for a request, and which result is the answer. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epp.scheduling.plugin import Decision, Profile, Trace
from epp.scheduling.profile import run_profile
from epp.scheduling.view import SchedulingView

NOBODY_LEFT = "no endpoint is left after the filters of profile {!r}"


@dataclass(frozen=True, slots=True)
class SingleProfileHandler:
    """Runs the only profile."""

    def run(self, profiles: Mapping[str, Profile], view: SchedulingView, trace: Trace) -> Decision | str:
        """Its result."""
        (profile,) = profiles.values()
        result = run_profile(profile, view, trace)
        return NOBODY_LEFT.format(profile.name) if result is None else Decision(result)

    def check(self, profiles: Sequence[str]) -> str | None:
        """Exactly one."""
        return (
            None if len(profiles) == 1 else f"single-profile-handler needs exactly one profile, found {len(profiles)}"
        )
