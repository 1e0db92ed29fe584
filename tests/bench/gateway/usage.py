"""What a process and its children have used, from /proc: CPU seconds and resident memory."""

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str]:
    text = Path(f"/proc/{pid}/stat").read_text()
    return text.rpartition(")")[2].split()


def family(pid: int) -> list[int]:
    """The process and every living descendant."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads, of living descendants, and of those that were waited for."""
    ticks = 0
    for each in family(pid):
        fields = _stat(each)
        ticks += sum(int(fields[at]) for at in (11, 12, 13, 14))
    return ticks / _TICKS


def scheduled_seconds(pid: int) -> float:
    """On-CPU time of all living threads of the process alone, in nanoseconds' steps: for what ticks are too coarse."""
    accounts = (path.read_text().split()[0] for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(map(int, accounts)) / 1e9


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its living descendants."""
    return sum(int(_stat(each)[21]) for each in family(pid)) * _PAGE
