"""Who may come in: accounts, sessions, API tokens, invite links. A secret is kept as its hash alone."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from accord.feedback import AccordError, Annotator, Invite, Role, Token, User
from accord.store import tables, web_rows
from accord.store.engine import insert_new
from accord.store.rows import MAPPERS, aware
from accord.store.store import Store
from accord.store.web_tables import invites, sessions, users

SESSION_DAYS = 30
#: How much of a secret's hash names it in lists.
SHOWN = 12


def hashed(secret: str) -> str:
    """SHA-256: enough for secrets of 256 random bits, which nobody can guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


class People:
    """The accounts of a store. Passwords come and go as Argon2 hashes; who checks them is the caller."""

    def __init__(self, store: Store):
        self._store = store

    def all(self) -> list[User]:
        """Everybody with an account, by name."""
        with self._store.reading() as connection:
            return [web_rows.user(row) for row in connection.execute(select(users).order_by(users.c.name))]

    def create(self, name: str, role: Role, password: str | None, *, local: bool = False) -> User:
        """A new account. Its votes have the account's name, or that with a number where votes of that name are there.

        Raises AccordError where the name is taken.
        """
        with self._store.writing() as connection:
            return _create(connection, name, role, password, local)

    def local(self, name: str) -> User:
        """The person at this machine, an administrator without a password; made at the first call."""
        with self._store.writing() as connection:
            row = connection.execute(select(users).where(users.c.local)).first()
            if row is not None:
                return web_rows.user(row)
            taken = set(connection.scalars(select(users.c.name)))
            free = name if name not in taken else f"{name}-local"
            return _create(connection, free, Role.ADMIN, None, True)

    def password(self, name: str) -> tuple[User, str] | None:
        """An active account that has a password, and the password's hash; None where there is none."""
        with self._store.reading() as connection:
            row = connection.execute(
                select(users).where(users.c.name == name, users.c.active, users.c.password.is_not(None))
            ).first()
        return None if row is None else (web_rows.user(row), row.password)

    def set_password(self, user_id: str, password: str, keep: str = "") -> None:
        """Changes a password; every session and token of the account ends, but for the secret `keep`."""
        with self._store.writing() as connection:
            connection.execute(update(users).where(users.c.id == user_id).values(password=password))
            connection.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.hash != hashed(keep)))

    def change(self, user_id: str, *, role: Role | None = None, active: bool | None = None) -> None:
        """Changes what somebody may do. Raises AccordError where nobody could administrate any more."""
        changes: dict[str, Any] = {}
        if role is not None:
            changes["role"] = str(role)
        if active is not None:
            changes["active"] = active
        with self._store.writing() as connection:
            if not connection.execute(update(users).where(users.c.id == user_id).values(changes)).rowcount:
                raise KeyError(user_id)
            admins = select(func.count()).where(users.c.role == Role.ADMIN, users.c.active)
            if not connection.scalar(admins):
                raise AccordError("somebody must stay an administrator (make another one first)")
            if active is False:
                connection.execute(delete(sessions).where(sessions.c.user_id == user_id))

    def open_session(self, user_id: str, *, name: str | None = None, days: float | None = SESSION_DAYS) -> str:
        """A new secret that stands for the user: a browser's, or an API token where it has a `name`."""
        secret = secrets.token_urlsafe(32)
        now = datetime.now(UTC)
        expires = None if days is None else now + timedelta(days=days)
        with self._store.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.expires < now))
            connection.execute(
                insert(sessions),
                {"hash": hashed(secret), "user_id": user_id, "name": name, "created": now, "expires": expires},
            )
        return secret

    def who(self, secret: str, *, api: bool) -> User | None:
        """The active user for whom `secret` stands, as an API token (`api`) or as a browser's session."""
        named = sessions.c.name.is_not(None) if api else sessions.c.name.is_(None)
        alive = sessions.c.expires.is_(None) | (sessions.c.expires > datetime.now(UTC))
        with self._store.reading() as connection:
            row = connection.execute(
                select(users)
                .join(sessions, sessions.c.user_id == users.c.id)
                .where(sessions.c.hash == hashed(secret), named, alive, users.c.active)
            ).first()
        return None if row is None else web_rows.user(row)

    def close_session(self, secret: str) -> None:
        """Ends a session."""
        with self._store.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == hashed(secret)))

    def tokens(self, user_id: str) -> list[Token]:
        """The user's API tokens."""
        chosen = select(sessions).where(sessions.c.user_id == user_id, sessions.c.name.is_not(None))
        with self._store.reading() as connection:
            return [
                Token(row.hash[:SHOWN], row.name, row.user_id, aware(row.created), row.expires and aware(row.expires))
                for row in connection.execute(chosen.order_by(sessions.c.created))
            ]

    def revoke_token(self, user_id: str, id: str) -> None:
        """Ends one of the user's own API tokens. Raises KeyError."""
        _drop_one(self._store, sessions, id, sessions.c.user_id == user_id, sessions.c.name.is_not(None))

    def invite(self, role: Role, by: str, *, note: str = "", days: float = 7, uses: int = 1) -> str:
        """The secret of a new invitation."""
        secret = secrets.token_urlsafe(24)
        now = datetime.now(UTC)
        row = {
            "hash": hashed(secret),
            "role": str(role),
            "note": note,
            "created_by": by,
            "created": now,
            "expires": now + timedelta(days=days),
            "uses_left": uses,
        }
        with self._store.writing() as connection:
            connection.execute(insert(invites), row)
        return secret

    def invited(self, secret: str) -> Invite | None:
        """The invitation, if it can still be used."""
        chosen = select(invites).where(
            invites.c.hash == hashed(secret), invites.c.expires > datetime.now(UTC), invites.c.uses_left > 0
        )
        with self._store.reading() as connection:
            row = connection.execute(chosen).first()
        return None if row is None else _invite(row)

    def invites(self) -> list[Invite]:
        """Those that can still be used."""
        chosen = select(invites).where(invites.c.expires > datetime.now(UTC), invites.c.uses_left > 0)
        with self._store.reading() as connection:
            return [_invite(row) for row in connection.execute(chosen.order_by(invites.c.created))]

    def revoke_invite(self, id: str) -> None:
        """Ends an invitation. Raises KeyError."""
        _drop_one(self._store, invites, id)

    def join(self, secret: str, name: str, password: str) -> User:
        """Makes the account that an invitation promised. Raises AccordError where it cannot be used any more."""
        with self._store.writing() as connection:
            used = connection.execute(
                update(invites)
                .where(invites.c.hash == hashed(secret), invites.c.expires > datetime.now(UTC), invites.c.uses_left > 0)
                .values(uses_left=invites.c.uses_left - 1)
            )
            if not used.rowcount:
                raise AccordError("this invitation has been used or has ended (ask for a new one)")
            role = Role(connection.execute(select(invites.c.role).where(invites.c.hash == hashed(secret))).scalar_one())
            return _create(connection, name, role, password, False)


def _create(connection: Connection, name: str, role: Role, password: str | None, local: bool) -> User:
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise AccordError(f"{name}: somebody has that name already (choose another)")
    taken = set(
        connection.scalars(
            select(tables.annotators.c.id).where(tables.annotators.c.id.startswith(name, autoescape=True))
        )
    )
    annotator = next(n for i in range(1, len(taken) + 2) if (n := name if i == 1 else f"{name}-{i}") not in taken)
    user = User(secrets.token_hex(10), name, annotator, role, datetime.now(UTC), local=local)
    connection.execute(
        insert_new(connection.dialect, tables.annotators), [MAPPERS[Annotator].to_row(Annotator(annotator))]
    )
    row = {field: getattr(user, field) for field in ("id", "name", "annotator_id", "created", "active", "local")}
    connection.execute(insert(users), row | {"role": str(role), "password": password})
    return user


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


def _drop_one(store: Store, table: Any, id: str, *conditions: Any) -> None:
    with store.writing() as connection:
        found = (
            len(id) == SHOWN
            and connection.execute(
                delete(table).where(table.c.hash.startswith(id, autoescape=True), *conditions)
            ).rowcount
        )
        if not found:
            raise KeyError(id)
