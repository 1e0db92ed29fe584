"""Sixteen faults of one server of two, and what is asked of whoever is in front of them. Pure values.

They are those of a public bench, failoverbench (methodology 0.1, https://github.com/failoverbench/failoverbench): the
faults, the checks and the verdicts, in this project's words. There a second model stands in for the first; here it is a
second server of the same model. So where a check counts repeats at the failing server, moving on passes it too: its
catalogue calls that correct, and only notes it. A check that is advised, and not required, makes a pass a partial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """How a scenario went."""

    PASS = "pass"  # the whole answer, and every check holds
    PARTIAL = "partial"  # the whole answer, but what is advised does not hold
    SAFE = "safe"  # no whole answer, but a clear error in time, and what is required holds
    FAIL = "fail"  # nothing in time, part of an answer taken for the whole, or what is required does not hold


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds of a profile: of the faults, and what the gateway is set to."""

    first_token: float
    stall: float
    silence: float
    outage: float
    sequence: tuple[int, float]  # requests through the outage, and seconds between two
    first_token_limit: float
    idle_limit: float


PROFILES: Final[Mapping[str, Waits]] = {
    "fast": Waits(6.0, 8.0, 30.0, 10.0, (20, 1.0), 2.0, 4.0),
    "full": Waits(20.0, 30.0, 120.0, 60.0, (20, 4.0), 10.0, 30.0),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client got, and what the first server saw. `attempts` are seconds since the scenario began."""

    is_ok: bool  # it ended as a success
    is_whole: bool
    seconds: float
    error: str = ""
    server: str = ""
    has_usage: bool = False
    attempts: tuple[float, ...] = ()
    is_alive_after: bool = True
    served: tuple[int, int] = (0, 0)  # in an outage: requests answered, and sent
    back_after: float | None = None  # seconds from the end of the outage to an answer of the first server


Holds = Callable[[Outcome, Waits], bool]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault of the first server for `seconds`. `is_error_right`: the client is to get the server's refusal."""

    name: str
    title: str
    fault: str
    required: Mapping[str, Holds] = field(default_factory=dict)
    advised: Mapping[str, Holds] = field(default_factory=dict)
    seconds: Callable[[Waits], float] = lambda _waits: 0.0
    longest: float = 45.0  # seconds; later it hangs
    is_error_right: bool = False
    is_sequence: bool = False


def at_most(attempts: int, within: float = float("inf")) -> Holds:
    """The failing server is asked no more often."""
    return lambda seen, _: sum(at < within for at in seen.attempts) <= attempts


def _ends_in(seconds: Callable[[Waits], float]) -> Holds:
    return lambda seen, waits: seen.seconds <= seconds(waits)


def _is_back(seen: Outcome, _: Waits) -> bool:
    return seen.back_after is not None and seen.back_after <= 30.0


SCENARIOS: Final = (
    Scenario("S01", "429 with Retry-After, once", "429_retry_after_once", {"no hammering": at_most(2, 1.5)},
             {"Retry-After is kept": at_most(1, 1.8)}),
    Scenario("S02", "429 without Retry-After", "429", {"no hammering": at_most(4, 3.0), "few attempts": at_most(6)}),
    Scenario("S03", "500 once", "500_once"),
    Scenario("S04", "503", "503", {"few attempts": at_most(6)}),
    Scenario("S05", "reset before headers, once", "reset_once"),
    Scenario("S06", "no response at all", "silent", {"within the budget": _ends_in(lambda waits: 3 * waits.idle_limit)},
             {"asked once": at_most(1)}, lambda waits: waits.silence, longest=130.0),
    Scenario("S07", "slow first token", "slow_first_token", {},
             {"limit of the first token": _ends_in(lambda waits: 0.75 * waits.first_token)},
             lambda waits: waits.first_token),
    Scenario("S08", "stream cut after 40 of 60 tokens", "cut"),
    Scenario("S09", "stream stalls", "stall",
             {"bounded": _ends_in(lambda waits: 1.5 * waits.stall), "alive after": lambda seen, _: seen.is_alive_after},
             {}, lambda waits: waits.stall),
    Scenario("S10", "malformed chunk", "malformed", {"alive after": lambda seen, _: seen.is_alive_after}),
    Scenario("S11", "stream without [DONE]", "no_done", {"ends at once": _ends_in(lambda _: 8.0)},
             {"usage": lambda seen, _: seen.has_usage}),
    Scenario("S12", "context length exceeded", "context_length", {"asked once": at_most(1)}),
    Scenario("S13", "content filter", "content_filter", {"asked once": at_most(1)}, is_error_right=True),
    Scenario("S14", "stream cut, no continuation elsewhere", "cut",
             {"the error is the first one": lambda seen, _: "prefill" not in seen.error}),
    Scenario("S15", "down, then healthy", "down",
             {"served meanwhile": lambda seen, _: seen.served[0] == seen.served[1] > 0, "back in 30 s": _is_back},
             {}, lambda waits: waits.outage, longest=200.0, is_sequence=True),
    Scenario("S16", "accounting", "503",
             {"names who answered": lambda seen, _: seen.server == "server-1", "few attempts": at_most(6)},
             {"usage": lambda seen, _: seen.has_usage}),
)  # fmt: skip


def verdict(scenario: Scenario, seen: Outcome, waits: Waits) -> tuple[Verdict, str]:
    """How it went, and why."""
    if seen.seconds >= scenario.longest:
        return Verdict.FAIL, "hangs"
    if seen.is_ok and not seen.is_whole:
        return Verdict.FAIL, "part of an answer is taken for the whole"
    failed = [name for name, holds in scenario.required.items() if not holds(seen, waits)]
    if failed:
        return Verdict.FAIL, f"not: {', '.join(failed)}"
    if seen.is_ok == scenario.is_error_right:
        return (Verdict.PARTIAL, "answered all the same") if seen.is_ok else (Verdict.SAFE, seen.error)
    missing = [name for name, holds in scenario.advised.items() if not holds(seen, waits)]
    return (Verdict.PARTIAL, f"not: {', '.join(missing)}") if missing else (Verdict.PASS, "")
