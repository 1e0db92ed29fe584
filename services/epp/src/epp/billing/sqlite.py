"""The bill in a file of SQLite, or in memory: for one process. A shell; its methods block, and belong on a thread."""

import asyncio
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from epp.billing.totals import Line, Totals

MEMORY: Final = ":memory:"
_FIELDS: Final = ", ".join(Totals._fields)
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS bill (day TEXT, tenant TEXT, model TEXT, "
    + ", ".join(f"{field} INTEGER NOT NULL" for field in Totals._fields)
    + ", PRIMARY KEY (day, tenant, model)) WITHOUT ROWID"
)
_ADD: Final = (
    f"INSERT INTO bill (day, tenant, model, {_FIELDS}) "  # noqa: S608 - names of fields
    f"VALUES ({', '.join('?' * (len(Line._fields) + len(Totals._fields)))}) ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{field} = {field} + excluded.{field}" for field in Totals._fields)
)
_READ: Final = f"SELECT day, tenant, model, {_FIELDS} FROM bill WHERE day >= ? AND day <= ? ORDER BY day"  # noqa: S608


class SqliteBill:
    """One file. Raises sqlite3.Error where it cannot be written or read."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()  # a call that was given up goes on
        self._database = sqlite3.connect(str(path or MEMORY), check_same_thread=False, timeout=5.0)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_CREATE)
        self._database.execute("CREATE TABLE IF NOT EXISTS last_batch (only_one INTEGER PRIMARY KEY, id TEXT NOT NULL)")
        self._database.commit()

    def add(self, batch: str, sums: Mapping[Line, Totals], oldest: str) -> None:
        """Keep sums, all or none, and nothing from before the day `oldest`. The last batch counts once, also when it
        comes again."""
        with self._lock, self._database:
            if self._database.execute("SELECT 1 FROM last_batch WHERE id = ?", (batch,)).fetchone():
                return
            self._database.execute("INSERT OR REPLACE INTO last_batch VALUES (1, ?)", (batch,))
            self._database.executemany(_ADD, [(*line, *totals) for line, totals in sums.items()])
            self._database.execute("DELETE FROM bill WHERE day < ?", (oldest,))

    def read(self, since: str, until: str) -> Sequence[tuple[Line, Totals]]:
        """The lines from one day to another, both included."""
        with self._lock:
            found = self._database.execute(_READ, (since, until)).fetchall()
        return [(Line(*row[:3]), Totals(*row[3:])) for row in found]

    def close(self) -> None:
        """No other call may follow."""
        with self._lock:
            self._database.close()


class FileStore:
    """A `Store` in a file, or in memory. Raises sqlite3.Error, also here."""

    def __init__(self, path: Path | None, days: int) -> None:
        self._bill, self._days = SqliteBill(path), days

    async def add(self, batch: str, sums: Mapping[Line, Totals], today: date) -> None:
        """On a thread."""
        oldest = (today - timedelta(days=self._days)).isoformat()
        await asyncio.to_thread(self._bill.add, batch, sums, oldest)

    async def read(self, since: str, until: str) -> Sequence[tuple[Line, Totals]]:
        """On a thread."""
        return await asyncio.to_thread(self._bill.read, since, until)

    async def close(self) -> None:
        """At once: nothing waits any more."""
        self._bill.close()
