"""Slows down those who guess passwords: after some failures each further try must wait, twice as long every time."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

#: Seconds: the longest that anybody must wait, and after how long without a try everything is forgotten.
LONGEST, FORGOTTEN = 300.0, 3_600.0
#: Names and addresses that are remembered, the latest.
MOST_KEYS = 20_000

#: How many failures are free. An address may be that of a whole office.
PER_NAME, PER_ADDRESS = 5, 25


@dataclass
class _Failures:
    count: int
    until: float  # no further try before
    at: float


@dataclass
class Throttle:
    """Failures by key, in memory: each server process counts for itself. `clock` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    _failed: dict[str, _Failures] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, free: Mapping[str, int]) -> float:
        """Begins a try under all keys of `free` (key -> failures that are free); 0 where it may go ahead.

        Else how many seconds it must wait, and it was not begun. A try counts as a failure until `succeeded` is told:
        so a thousand at once are not a thousand free ones.
        """
        with self._lock:
            now = self.clock()
            known = {key: self._known(key, now) for key in free}
            wait = max((failures.until - now for failures in known.values()), default=0.0)
            if wait > 0:
                return wait
            for key, failures in known.items():
                failures.count += 1
                over = failures.count - free[key]
                failures.until = now + min(LONGEST, 2.0**over) if over >= 0 else now
                failures.at = now
                self._failed.pop(key, None)  # so that the oldest stand first
                self._failed[key] = failures
            while len(self._failed) > MOST_KEYS:
                del self._failed[next(iter(self._failed))]
            return 0.0

    def succeeded(self, own: str, *others: str) -> None:
        """The try that was begun was none of guessing: forgets all failures of the key `own`, and this one of the
        `others`, which may have been used by somebody else."""
        with self._lock:
            self._failed.pop(own, None)
            for key in others:
                if failures := self._failed.get(key):
                    failures.count = max(0, failures.count - 1)
                    failures.until = failures.at

    def _known(self, key: str, now: float) -> _Failures:
        failures = self._failed.get(key)
        return failures if failures and now - failures.at < FORGOTTEN else _Failures(0, now, now)
