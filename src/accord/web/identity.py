"""Who is asking. Identity comes from the session's cookie or an API token, never from what a request says."""

import hashlib
import hmac
import time
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from accord.feedback import Role, User
from accord.web.security import SAFE
from accord.web.site import Site

#: Seconds for which a session is believed without asking the database; logging out here ends it at once.
REMEMBERED = 2.0
MOST_REMEMBERED = 10_000


class Refused(Exception):
    """The request may not do that. `status` is 401 (nobody is logged in) or 403."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status
        self.why = why


class Sessions:
    """Remembers for a moment whom a secret stands for."""

    def __init__(self, site: Site):
        self._site = site
        self._known: dict[tuple[str, bool], tuple[float, User | None]] = {}
        self._forgotten = 0

    async def who(self, secret: str, *, api: bool) -> User | None:
        """The user for whom the secret stands."""
        key = secret, api
        until, user = self._known.get(key, (0.0, None))
        now = time.monotonic()
        if now < until:
            return user
        forgotten = self._forgotten
        user = await run_in_threadpool(self._site.people.who, secret, api=api)
        if user is not None and user.local and self._site.team:
            user = None  # from when the server was for one person
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        if forgotten == self._forgotten:  # else it may have been asked before what has changed meanwhile
            self._known[key] = now + REMEMBERED, user
        return user

    def forget(self) -> None:
        """Ask the database again: somebody logged out, or may do something else now."""
        self._forgotten += 1
        self._known.clear()


def site_of(request: Request) -> Site:
    """The site that the request is for."""
    return request.app.state.site


def csrf_token(secret: str) -> str:
    """What a page proves with that it is this session's: a hash of the session's secret, which scripts cannot see."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


async def visitor(request: Request) -> User | None:
    """Who is asking, None where nobody is logged in. Raises Refused for a change without the session's CSRF token."""
    sessions: Sessions = request.app.state.sessions
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await sessions.who(token.strip(), api=True)
    secret = request.cookies.get(site_of(request).cookie)
    if not secret:
        return None
    user = await sessions.who(secret, api=False)
    if user is not None and request.method not in SAFE:
        await _check_csrf(request, secret)
    return user


async def _check_csrf(request: Request, secret: str) -> None:
    given = request.headers.get("x-csrf-token")
    if given is None and request.headers.get("content-type", "").startswith(
        ("application/x-www-form-urlencoded", "multipart/form-data")
    ):
        given = str((await request.form()).get("csrf", ""))
    if not hmac.compare_digest((given or "").encode(), csrf_token(secret).encode()):
        raise Refused(403, "the page is too old (load it again)")


async def _site(request: Request) -> Site:
    return site_of(request)  # FastAPI calls what is not async in a thread


Visitor = Annotated[User | None, Depends(visitor)]


def _at_least(needed: Role):
    async def check(user: Visitor) -> User:
        if user is None:
            raise Refused(401, "nobody is logged in (log in, or send an API token)")
        if not user.role.may(needed):
            raise Refused(403, f"this is for {needed}s")
        return user

    return check


#: A route's parameter of one of these types says who may use it. Every route has one, or is in PUBLIC of `web.app`.
AsAnnotator = Annotated[User, Depends(_at_least(Role.ANNOTATOR))]
AsCurator = Annotated[User, Depends(_at_least(Role.CURATOR))]
AsAdmin = Annotated[User, Depends(_at_least(Role.ADMIN))]
OfSite = Annotated[Site, Depends(_site)]
