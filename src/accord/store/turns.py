"""Taking turns at SQLite's one write lock. It has no queue: who waits looks again after 1, 2, 5, … 25, then 100 ms."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accord.store.engine import PRAGMAS

#: Seconds that a turn lasts: while others write, and at most.
TURN, LONGEST = 0.01, 0.5
#: A turn may last for so much of the time since somebody else wrote: who votes every ten seconds waits for a tenth.
SHARE = 0.01
#: Seconds between long turns. Whoever waits looks in such a gap.
GAP = 0.03
#: While others write one after another, they may go on for as long as so many turns; looked at every so many seconds.
OTHERS, LOOK = 8, 0.005
#: Seconds of turns after which what they wrote is taken from the log to the database.
LOGGED = 0.1

#: A turn is flushed after it ended, and the log is emptied then too, so that neither makes it longer.
OWN = {"synchronous": "NORMAL", "wal_autocheckpoint": 0}


class Turns:
    """Short transactions on the SQLite database at `path`, with time between them for everybody else's."""

    def __init__(self, path: Path):
        self._log = Path(f"{path}-wal")
        self.connection = sqlite3.connect(path, isolation_level=None)
        for name, value in (PRAGMAS | OWN).items():
            self.connection.execute(f"PRAGMA {name} = {value}")
        self._version, self._alone_since = self._data_version(), time.monotonic()
        self._unlogged = 0.0
        self.took = TURN  #: Seconds that the last turn took.

    def close(self) -> None:
        self.connection.close()

    def length(self) -> float:
        """Seconds that the next turn may last."""
        if (version := self._data_version()) != self._version:
            self._version, self._alone_since = version, time.monotonic()
        return min(max(TURN, SHARE * (time.monotonic() - self._alone_since)), LONGEST)

    @contextmanager
    def turn(self) -> Iterator[sqlite3.Connection]:
        """One transaction. When this ends, what it wrote is on disk, and others have had their turn."""
        self.connection.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        ended = time.monotonic()
        self.took = ended - began
        before = self._data_version()
        self._flush()
        time.sleep(max(0.0, ended + min(self.took, GAP) - time.monotonic()))
        while (now := self._data_version()) != before and time.monotonic() < ended + OTHERS * self.took:
            before = now
            time.sleep(LOOK)

    def _data_version(self) -> int:
        """Changes when another connection has written."""
        return self.connection.execute("PRAGMA data_version").fetchone()[0]

    def _flush(self) -> None:
        if self._log.exists():  # not where the file system knows no shared memory, and SQLite keeps no log
            file = os.open(self._log, os.O_RDWR)  # of SQLite's files, the one that nobody locks
            try:
                os.fsync(file)
            finally:
                os.close(file)
        self._unlogged += self.took
        if self._unlogged > LOGGED:
            self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._unlogged = 0.0
