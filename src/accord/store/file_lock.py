"""A lock that one process at a time holds, and that ends with it however it ends."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accord.feedback import AccordError

#: Seconds between two tries.
POLL = 0.05


@contextmanager
def locked(path: Path, wait: float) -> Iterator[bool]:
    """Holds the lock `path` while inside; False where somebody else held it for all of `wait` seconds.

    The file says nothing and is gone afterwards. Raises AccordError where files cannot be made or locked there.
    """
    until = time.monotonic() + wait
    try:
        while (file := _take(path)) is None and time.monotonic() < until:
            time.sleep(POLL)
    except OSError as error:
        raise AccordError(f"{path}: {error.strerror} (it is made to keep others off meanwhile)") from error
    try:
        yield file is not None
    finally:
        if file is not None:
            _give_back(path, file)


def _take(path: Path) -> int | None:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(file)
        if os.path.samestat(os.fstat(file), os.stat(path)):
            return file
    except (BlockingIOError, FileNotFoundError, PermissionError):
        pass  # somebody holds it, or deleted it on giving it back just after it was opened here
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

    def _give_back(path: Path, file: int) -> None:
        os.close(file)  # an open file cannot be deleted there
        with suppress(OSError):
            path.unlink()
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give_back(path: Path, file: int) -> None:
        path.unlink(missing_ok=True)  # while it is held: nobody can lock a file that another is about to delete
        os.close(file)
