"""Who may come in: accounts, sessions, API tokens. A secret is kept as its hash alone."""

import hashlib
import secrets
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from accord.feedback import AccordError, Annotator, Role, Token, User
from accord.store import tables, web_rows
from accord.store.engine import insert_new
from accord.store.rows import MAPPERS, aware
from accord.store.store import Store
from accord.store.web_tables import invites, sessions, users

SESSION_DAYS = 30
#: How much of a secret's hash names it in lists.
SHOWN = 12

#: Who can administrate: the person at this machine cannot, once people log in with accounts.
ADMINS = users.c.active & ~users.c.local & (users.c.role == Role.ADMIN)


def hashed(secret: str) -> str:
    """SHA-256: enough for secrets of 192 random bits and more, which nobody can guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def folded(name: str) -> str:
    """What two names have in common that are one to the eye: "Ann" and "ann"."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


class People:
    """The accounts of a store. Passwords come and go as Argon2 hashes; who checks them is the caller."""

    def __init__(self, store: Store):
        self._store = store

    def all(self) -> list[User]:
        """Everybody with an account, by name."""
        with self._store.reading() as connection:
            found = [web_rows.user(row) for row in connection.execute(select(users))]
        return sorted(found, key=lambda user: (folded(user.name), user.name))

    def get(self, id: str) -> User:
        """One account. Raises KeyError."""
        with self._store.reading() as connection:
            row = connection.execute(select(users).where(users.c.id == id)).first()
        if row is None:
            raise KeyError(id)
        return web_rows.user(row)

    def create(self, name: str, role: Role, password: str | None) -> User:
        """A new account. Its votes have the account's name, or that with a number where votes of that name are there.

        Raises AccordError where the name is taken; upper and lower case are the same.
        """
        with self._store.writing() as connection:
            return create_account(connection, name, role, password)

    def create_first(self, name: str, password: str) -> User:
        """The first administrator. The person at this machine gets the password, if they have that name: their votes
        are theirs, and they are no longer let in without one.

        Raises AccordError where there is an administrator, or the name is somebody else's.
        """
        with self._store.writing() as connection:
            lock_accounts(connection)
            if connection.execute(select(users.c.id).where(ADMINS)).first() is not None:
                raise AccordError("there is an administrator already (log in, or ask them for an invitation)")
            row = connection.execute(select(users).where(users.c.local)).first()
            if row is None or folded(row.name) != folded(name):
                return create_account(connection, name, Role.ADMIN, password)
            connection.execute(update(users).where(users.c.id == row.id).values(local=False, name=name))
            change_password(connection, row.id, password)
            return replace(web_rows.user(row), local=False, name=name)

    def has_admin(self) -> bool:
        """Whether anybody could log in and administrate."""
        with self._store.reading() as connection:
            return connection.execute(select(users.c.id).where(ADMINS)).first() is not None

    def local(self, name: str) -> User:
        """The person at this machine, an administrator without a password; made at the first call."""
        with self._store.writing() as connection:
            lock_accounts(connection)
            row = connection.execute(select(users).where(users.c.local)).first()
            if row is not None:
                return web_rows.user(row)
            taken = {folded(taken) for taken in connection.scalars(select(users.c.name))}
            free = next(n for i in count(1) if folded(n := name if i == 1 else f"{name}-{i}") not in taken)
            return create_account(connection, free, Role.ADMIN, None, local=True)

    def password(self, name: str) -> tuple[User, str] | None:
        """An active account that has a password, and the password's hash; None where there is none."""
        chosen = select(users).where(users.c.active, users.c.password.is_not(None))
        with self._store.reading() as connection:
            row = next((row for row in connection.execute(chosen) if folded(row.name) == folded(name)), None)
        return None if row is None else (web_rows.user(row), row.password)

    def log_in(self, user_id: str, password: str, renewed: str | None = None) -> str | None:
        """The secret of a new session of an active account whose password's hash is `password`, as the caller has
        checked; `renewed` takes the hash's place. None where it was changed in the meantime."""
        with self._store.writing() as connection:
            known = connection.execute(
                update(users)
                .where(users.c.id == user_id, users.c.active, users.c.password == password)
                .values(password=renewed or password)
            ).rowcount
            return open_session(connection, user_id) if known else None

    def set_password(self, user_id: str, password: str, keep: str = "") -> None:
        """Changes a password; every session, token and reset link of the account ends, but for the secret `keep`."""
        with self._store.writing() as connection:
            change_password(connection, user_id, password, keep)

    def change(self, user_id: str, *, role: Role | None = None, active: bool | None = None) -> None:
        """Changes what somebody may do. Who is deactivated is logged out everywhere, and their tokens end; who may do
        less than before can let nobody in by invitations that they made.

        Raises KeyError, and AccordError where nobody could administrate any more.
        """
        with self._store.writing() as connection:
            lock_accounts(connection)
            row = connection.execute(select(users).where(users.c.id == user_id, ~users.c.local)).first()
            if row is None:
                raise KeyError(user_id)
            before = web_rows.user(row)
            after = replace(
                before, role=before.role if role is None else role, active=before.active if active is None else active
            )
            connection.execute(
                update(users).where(users.c.id == user_id).values(role=str(after.role), active=after.active)
            )
            if _administrates(before) and connection.execute(select(users.c.id).where(ADMINS)).first() is None:
                raise AccordError("somebody must stay an administrator (make another one first)")
            if not after.active:
                connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
                connection.execute(delete(invites).where(invites.c.user_id == user_id))
            if not after.active or not after.role.may(before.role):
                connection.execute(delete(invites).where(invites.c.created_by == before.name))

    def open_session(self, user_id: str, *, name: str | None = None, days: float | None = SESSION_DAYS) -> str:
        """A new secret that stands for the user: a browser's, or an API token where it has a `name`."""
        with self._store.writing() as connection:
            return open_session(connection, user_id, name, days)

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
        """Ends a browser's session."""
        with self._store.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.hash == hashed(secret), sessions.c.name.is_(None)))

    def close_sessions(self, user_id: str) -> None:
        """Ends the user's sessions in all browsers; API tokens stay."""
        with self._store.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.name.is_(None)))

    def tokens(self, user_id: str) -> list[Token]:
        """The user's API tokens that can still be used."""
        alive = sessions.c.expires.is_(None) | (sessions.c.expires > datetime.now(UTC))
        chosen = select(sessions).where(sessions.c.user_id == user_id, sessions.c.name.is_not(None), alive)
        with self._store.reading() as connection:
            return [
                Token(row.hash[:SHOWN], row.name, row.user_id, aware(row.created), row.expires and aware(row.expires))
                for row in connection.execute(chosen.order_by(sessions.c.created))
            ]

    def revoke_token(self, user_id: str, id: str) -> None:
        """Ends one of the user's own API tokens. Raises KeyError."""
        with self._store.writing() as connection:
            drop_one(connection, sessions, id, sessions.c.user_id == user_id, sessions.c.name.is_not(None))


def _administrates(user: User) -> bool:
    return user.active and not user.local and user.role is Role.ADMIN


def lock_accounts(connection: Connection) -> None:
    """Lets nobody else change accounts until the transaction ends; they can be read. SQLite has but one writer."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))


def create_account(connection: Connection, name: str, role: Role, password: str | None, *, local: bool = False) -> User:
    """See `People.create`."""
    lock_accounts(connection)
    for known in connection.scalars(select(users.c.name)):  # here, since SQLite folds ASCII alone
        if folded(known) == folded(name):
            raise AccordError(f"{known}: somebody has that name already (choose another)")
    taken = set(
        connection.scalars(
            select(tables.annotators.c.id).where(tables.annotators.c.id.startswith(name, autoescape=True))
        )
    )
    annotator = next(n for i in count(1) if (n := name if i == 1 else f"{name}-{i}") not in taken)
    user = User(secrets.token_hex(10), name, annotator, role, datetime.now(UTC), local=local)
    connection.execute(
        insert_new(connection.dialect, tables.annotators), [MAPPERS[Annotator].to_row(Annotator(annotator))]
    )
    row = {field: getattr(user, field) for field in ("id", "name", "annotator_id", "created", "active", "local")}
    connection.execute(insert(users), row | {"role": str(role), "password": password})
    return user


def open_session(
    connection: Connection, user_id: str, name: str | None = None, days: float | None = SESSION_DAYS
) -> str:
    """See `People.open_session`."""
    secret = secrets.token_urlsafe(32)
    now = datetime.now(UTC)
    expires = None if days is None else now + timedelta(days=days)
    connection.execute(delete(sessions).where(sessions.c.expires < now))
    connection.execute(
        insert(sessions),
        {"hash": hashed(secret), "user_id": user_id, "name": name, "created": now, "expires": expires},
    )
    return secret


def change_password(connection: Connection, user_id: str, password: str, keep: str = "") -> None:
    """See `People.set_password`."""
    connection.execute(update(users).where(users.c.id == user_id).values(password=password))
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.hash != hashed(keep)))
    connection.execute(delete(invites).where(invites.c.user_id == user_id))


def drop_one(connection: Connection, table: Any, id: str, *conditions: Any) -> None:
    """Deletes the row whose secret's hash begins with `id`. Raises KeyError."""
    named = table.c.hash.startswith(id, autoescape=True)
    if len(id) != SHOWN or not connection.execute(delete(table).where(named, *conditions)).rowcount:
        raise KeyError(id)
