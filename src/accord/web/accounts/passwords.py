"""Passwords: which are taken, how they are kept (Argon2id), and whether one fits."""

import secrets
import threading
import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from accord.feedback import AccordError
from accord.store.people import folded

if TYPE_CHECKING:
    from argon2 import PasswordHasher

FEWEST, MOST = 10, 1_000
#: A hash takes 64 MiB and several cores for a moment: no more than these at once, however many people log in.
AT_ONCE = threading.BoundedSemaphore(4)


@lru_cache
def commonest() -> frozenset[str]:
    """Those of ten characters or more that lists of leaked passwords begin with."""
    return frozenset(Path(__file__).with_name("commonest.txt").read_text(encoding="utf-8").split())


def chosen(password: str, name: str) -> str:
    """The hash to keep of a password that `name` chose. Raises AccordError where it is one that others would try."""
    wanted = _plain(password)
    if len(wanted) < FEWEST:
        raise AccordError(f"a password has {FEWEST} characters or more (four words make a good one)")
    if len(wanted) > MOST:
        raise AccordError(f"a password has {MOST:,} characters at most")
    if wanted.casefold() in commonest():
        raise AccordError("that password is among the first that anybody would try (choose another)")
    if folded(wanted).strip("0123456789 .,;:!?-_*#") == folded(name):
        raise AccordError("that password is your name (choose another)")
    with AT_ONCE:
        return _hasher().hash(wanted)


def fits(password: str, kept: str | None) -> bool:
    """Whether `password` is the one whose hash was `kept`. Takes as long where nothing was, so that the time does not
    tell whether there is such an account."""
    from argon2.exceptions import InvalidHashError, VerificationError

    given, nobodys = _plain(password)[: MOST + 1], _nobodys()
    with AT_ONCE:
        try:
            return _hasher().verify(kept or nobodys, given) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def renewed(password: str, kept: str) -> str | None:
    """Another hash of a password that fits, where it was `kept` under parameters that are no longer recommended."""
    if not _hasher().check_needs_rehash(kept):
        return None
    with AT_ONCE:
        return _hasher().hash(_plain(password))


def _plain(password: str) -> str:
    """The same password, whichever keyboard it comes from: an é may be one character or two."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()


@lru_cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # loaded by those who log in with a password alone

    return PasswordHasher()


@lru_cache
def _nobodys() -> str:
    """The hash of a password that nobody has."""
    return _hasher().hash(secrets.token_urlsafe(32))
