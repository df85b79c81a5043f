"""Links that make an account, or give one a new password. Each can be used so many times, until it ends."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from accord.feedback import AccordError, Invite, Role, User
from accord.store import web_rows
from accord.store.people import SHOWN, change_password, create_account, drop_one, hashed
from accord.store.rows import aware
from accord.store.store import Store
from accord.store.web_tables import invites, users

RESET_DAYS = 1.0


class Invites:
    """The invitations of a store, and its links for forgotten passwords."""

    def __init__(self, store: Store):
        self._store = store

    def create(self, role: Role, by: str, *, note: str = "", days: float = 7, uses: int = 1) -> str:
        """The secret of a new invitation. `by` is the name of who invites."""
        with self._store.writing() as connection:
            return _insert(connection, role, by, note, days, uses)

    def of(self, secret: str) -> Invite | None:
        """The invitation, if it can still be used."""
        with self._store.reading() as connection:
            row = connection.execute(select(invites).where(*_usable(secret), invites.c.user_id.is_(None))).first()
        return None if row is None else _invite(row)

    def all(self, by: str | None = None) -> list[Invite]:
        """Those that can still be used, the oldest first; with `by`, that person's."""
        chosen = select(invites).where(
            invites.c.expires > datetime.now(UTC), invites.c.uses_left > 0, invites.c.user_id.is_(None), *_made(by)
        )
        with self._store.reading() as connection:
            return [_invite(row) for row in connection.execute(chosen.order_by(invites.c.created, invites.c.hash))]

    def revoke(self, id: str, by: str | None = None) -> None:
        """Ends an invitation; with `by`, one of that person's. Raises KeyError."""
        with self._store.writing() as connection:
            drop_one(connection, invites, id, invites.c.user_id.is_(None), *_made(by))

    def join(self, secret: str, name: str, password: str) -> User:
        """Makes the account that an invitation promised. Raises AccordError where it cannot be used any more, or the
        name is taken; then it can be used as before."""
        with self._store.writing() as connection:
            return create_account(connection, name, Role(_use(connection, secret).role), password)

    def reset_link(self, user_id: str, by: str) -> str:
        """The secret with which an active account can be given a new password, once. An earlier one ends.

        Raises KeyError.
        """
        with self._store.writing() as connection:
            chosen = select(users.c.role).where(users.c.id == user_id, users.c.active, ~users.c.local)
            role = connection.scalar(chosen)
            if role is None:
                raise KeyError(user_id)
            connection.execute(delete(invites).where(invites.c.user_id == user_id))
            return _insert(connection, Role(role), by, "", RESET_DAYS, 1, user_id)

    def reset_for(self, secret: str) -> User | None:
        """Whose password can be set with `secret`."""
        chosen = select(users).join(invites, invites.c.user_id == users.c.id).where(*_usable(secret), users.c.active)
        with self._store.reading() as connection:
            row = connection.execute(chosen).first()
        return None if row is None else web_rows.user(row)

    def reset(self, secret: str, password: str) -> User:
        """Gives the account a new password, and logs it out everywhere. Raises AccordError for a link that has been
        used or has ended."""
        with self._store.writing() as connection:
            user_id = _use(connection, secret, reset=True).user_id
            change_password(connection, user_id, password)
            return web_rows.user(connection.execute(select(users).where(users.c.id == user_id)).one())


def _made(by: str | None) -> tuple[ColumnElement[bool], ...]:
    return () if by is None else (invites.c.created_by == by,)


def _usable(secret: str) -> tuple[ColumnElement[bool], ...]:
    return invites.c.hash == hashed(secret), invites.c.expires > datetime.now(UTC), invites.c.uses_left > 0


def _use(connection: Connection, secret: str, *, reset: bool = False) -> Any:
    """Uses a link up; its row. Of two at once the second waits for the first, and finds it used."""
    meant = invites.c.user_id.is_not(None) if reset else invites.c.user_id.is_(None)
    used = update(invites).where(*_usable(secret), meant).values(uses_left=invites.c.uses_left - 1)
    if not connection.execute(used).rowcount:
        raise AccordError(f"this {'link' if reset else 'invitation'} has been used or has ended (ask for a new one)")
    return connection.execute(select(invites).where(invites.c.hash == hashed(secret))).one()


def _insert(
    connection: Connection, role: Role, by: str, note: str, days: float, uses: int, user_id: str | None = None
) -> str:
    secret = secrets.token_urlsafe(24)
    now = datetime.now(UTC)
    connection.execute(delete(invites).where(invites.c.expires < now))
    row = {
        "hash": hashed(secret),
        "role": str(role),
        "note": note,
        "created_by": by,
        "created": now,
        "expires": now + timedelta(days=days),
        "uses_left": uses,
        "user_id": user_id,
    }
    connection.execute(insert(invites), row)
    return secret


def _invite(row: Any) -> Invite:
    return Invite(
        row.hash[:SHOWN],
        Role(row.role),
        row.note,
        row.created_by,
        aware(row.created),
        aware(row.expires),
        row.uses_left,
    )
