"""`make faults`: sixteen faults of one model server of two, through each transport of the picker, with a verdict each.

Starts two model servers, BBR, EPP and an Envoy for each transport, and sends one request for each scenario (twenty
through an outage). Everything is on loopback and bounded. `--profile full` takes the waits of the public bench whose
scenarios these are (some five minutes for each transport), `fast` a fifth of them. It ends with 1 if anything fails.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import httpx2 as httpx

from gateway.kube.objects import TTFT_LIMIT_ANNOTATION
from tests.bench.faults.provider import TEXT
from tests.bench.faults.scenarios import PROFILES, SCENARIOS, Outcome, Scenario, Verdict, Waits, verdict
from tests.bench.gateway.__main__ import FOLDER, ROOT, host, running
from tests.bench.gateway.setting import EXT_PROC, HOST, HTTP_BY_MODEL, Commands, Ports, RouteFields
from tests.conftest import free_ports

RESULT = FOLDER / "faults.json"
SERVERS = 2
RECOVERY_SECONDS = 60.0  # for the first server to be in all decisions again, before the next scenario
TRIES = 5  # until the first server is the one that is picked


@dataclass(frozen=True, slots=True)
class Row:
    """One scenario through one transport."""

    scenario: str
    transport: str
    verdict: Verdict
    reason: str
    outcome: Outcome


class Bench:
    """The client, and the control of both servers."""

    def __init__(self, gateway: int, servers: Sequence[int], waits: Waits) -> None:
        self._url = f"http://{HOST}:{gateway}/v1/chat/completions"
        self._controls = [f"http://{HOST}:{port}/control" for port in servers]
        self._waits = waits
        self._number = 0

    def run(self, scenario: Scenario) -> Outcome:
        """One scenario; again where the picker chose the healthy server, which proves nothing."""
        for _ in range(TRIES):
            self._recover()
            self._set(0, scenario.fault, scenario.seconds(self._waits))
            seen = self._sequence(scenario) if scenario.is_sequence else self.ask(scenario.longest)
            attempts = tuple(at for at, _ in self._attempts(0))
            if attempts:
                break
        else:
            raise SystemExit(f"{scenario.name}: the first server is never picked")
        self._set(0)
        return replace(seen, attempts=attempts, is_alive_after=self.ask(10.0).is_whole)

    def ask(self, seconds: float) -> Outcome:
        """One streamed answer, read as a careful client does: what is no JSON is skipped, an error is an error."""
        self._number += 1
        body = {
            "model": "bench", "stream": True, "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": f"Question {self._number} at {time.time_ns()}"}],
        }  # fmt: skip
        started = time.monotonic()
        try:
            with httpx.stream("POST", self._url, json=body, timeout=seconds) as answer:
                if answer.status_code != 200:
                    raise BadAnswerError(f"{answer.status_code} {answer.read().decode()[:200]}")
                return _read(answer, started)
        except (httpx.HTTPError, BadAnswerError) as error:
            text = f"{type(error).__name__}: {error}" if isinstance(error, httpx.HTTPError) else str(error)
            return Outcome(is_ok=False, is_whole=False, seconds=time.monotonic() - started, error=text)

    def _sequence(self, scenario: Scenario) -> Outcome:
        """Requests through an outage and after it."""
        started, down = time.monotonic(), scenario.seconds(self._waits)
        count, gap = self._waits.sequence
        found: list[tuple[float, Outcome]] = []
        for number in range(count):
            time.sleep(max(0.0, started + number * gap - time.monotonic()))
            found.append((time.monotonic() - started, self.ask(30.0)))
        meanwhile = [seen.is_whole for at, seen in found if at < down]
        answered = [at for at, fault in self._attempts(0) if not fault]
        return Outcome(
            is_ok=all(seen.is_ok for _, seen in found),
            is_whole=all(seen.is_whole for _, seen in found),
            seconds=time.monotonic() - started,
            error=next((seen.error for _, seen in found if seen.error), ""),
            served=(sum(meanwhile), len(meanwhile)),
            back_after=answered[0] - down if answered else None,
        )

    def _recover(self) -> None:
        """Until the first server answers three in a row."""
        self._set(0)
        deadline = time.monotonic() + RECOVERY_SECONDS
        in_a_row = 0
        while in_a_row < 3:
            in_a_row = in_a_row + 1 if self.ask(10.0).server == "server-0" else 0
            if time.monotonic() > deadline:
                raise SystemExit("the first server is not picked again")
            time.sleep(0.2)

    def _set(self, server: int, fault: str = "", seconds: float = 0.0) -> None:
        httpx.put(self._controls[server], json={"fault": fault, "seconds": seconds}).raise_for_status()

    def _attempts(self, server: int) -> list[Any]:
        found = httpx.get(self._controls[server]).json()
        assert isinstance(found, list)
        return found


class BadAnswerError(Exception):
    """The client got an error."""


def _read(answer: httpx.Response, started: float) -> Outcome:
    text, server, has_usage = "", "", False
    for line in answer.iter_lines():
        if not line.startswith("data: {"):
            continue
        try:
            event = json.loads(line[len("data: ") :])
        except ValueError:
            continue
        if "error" in event:
            raise BadAnswerError(f"event {event['error']}")
        server, has_usage = event.get("system_fingerprint", server), has_usage or bool(event.get("usage"))
        text += "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
    seconds = time.monotonic() - started
    return Outcome(is_ok=True, is_whole=text.strip() == TEXT, seconds=seconds, server=server, has_usage=has_usage)


def run(transport: str, scenarios: Sequence[Scenario], waits: Waits) -> list[Row]:
    """All scenarios through one transport."""
    limited = RouteFields({TTFT_LIMIT_ANNOTATION: f"{waits.first_token_limit:g}s"})
    commands = Commands(
        Ports.spread(free_ports(Ports.COUNT), SERVERS), FOLDER / "faults", ROOT / ".venv" / "bin",
        ROOT / ".tools" / "envoy" / "bin" / "envoy", sys.executable, usage_extraction=True,
        upstreams="tests.bench.faults.provider", route=limited,
        rendering=("--stream-idle-timeout", f"{waits.idle_limit:g}"),
    )  # fmt: skip
    commands.write_manifests()
    rows = []
    with running(commands, [transport], None) as stack:
        bench = Bench(stack.commands.ports.gateways[transport], commands.ports.upstreams, waits)
        for scenario in scenarios:
            seen = bench.run(scenario)
            found, reason = verdict(scenario, seen, waits)
            rows.append(Row(scenario.name, transport, found, reason, seen))
            attempts = f"{len(seen.attempts)} at the failing server"
            print(
                f"{scenario.name}  {scenario.title:<40}{transport:<12}{found:<9}{seen.seconds:>6.1f} s  {attempts}  "
                f"{reason[:100]}",
                flush=True,
            )
    return rows


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser("faults", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--profile", choices=PROFILES, default="fast")
    parser.add_argument("--transports", nargs="+", choices=(EXT_PROC, HTTP_BY_MODEL), default=(EXT_PROC, HTTP_BY_MODEL))
    parser.add_argument("--only", nargs="+", metavar="S01", help="these scenarios")
    given = parser.parse_args()
    scenarios = [each for each in SCENARIOS if not given.only or each.name in given.only]
    rows = [row for transport in given.transports for row in run(transport, scenarios, PROFILES[given.profile])]
    for transport in given.transports:
        counts = Counter(row.verdict for row in rows if row.transport == transport)
        print(f"{transport}: " + ", ".join(f"{counts[each]} {each}" for each in Verdict))
    document = {"host": host(), "profile": given.profile, "rows": [asdict(row) for row in rows]}
    RESULT.write_text(json.dumps(document, indent=1))
    print(f"written to {RESULT.relative_to(ROOT)}")
    if any(row.verdict is Verdict.FAIL for row in rows):
        raise SystemExit("FAILED")


if __name__ == "__main__":
    main()
