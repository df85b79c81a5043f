"""A database file that nobody but its owner may read."""

from pathlib import Path

from accord.feedback import AccordError
from accord.store.engine import parse

#: What SQLite keeps beside the file while it is in use; made anew, these take the file's own permissions.
BESIDE = ("", "-wal", "-shm", "-journal")


def keep_private(url: str | Path) -> None:
    """Takes from everybody else the right to read or write the SQLite file at `url`. Any other database is left to its
    server. Raises AccordError where that may not be done."""
    database = parse(url).database
    if parse(url).get_backend_name() != "sqlite" or not database:
        return
    for end in BESIDE:
        file = Path(f"{database}{end}")
        try:
            if file.exists() and file.stat().st_mode & 0o077:
                file.chmod(0o600)
        except OSError as error:
            raise AccordError(
                f"{file}: others can read it, and that cannot be changed: {error.strerror} (run as its owner)"
            ) from None
