"""One worker of a service that runs as several processes on a host: its ports by a rule, and the folder where it meets
the others. Pure.

Worker n, from 0, listens at the ports that the command line names, each plus 100·n; of a Unix socket the name ends in
`.n`, but for worker 0. Whoever sends requests to workers counts by the same rule.
"""

from dataclasses import dataclass
from pathlib import Path

from gateway.wire.ports import worker_port


@dataclass(frozen=True, slots=True)
class Worker:
    """The worker `index` of `count`. Only they and their supervisor may enter `folder`."""

    folder: Path
    index: int
    count: int

    def port(self, port: int) -> int:
        """Where it listens in place of a port of the command line; 0 is left to the system."""
        return worker_port(port, self.index)

    def path(self, socket: Path) -> Path:
        """Where it listens in place of a Unix socket of the command line, and what it writes in place of a file."""
        return socket if self.index == 0 else socket.with_name(f"{socket.name}.{self.index}")

    def journal(self, index: int) -> Path:
        """Where a worker lets the others read what it publishes."""
        return self.folder / f"journal-{index}.sock"

    @property
    def operators(self) -> Path:
        """Where it serves its operators' port, for the supervisor alone."""
        return self.folder / f"operators-{self.index}.sock"
