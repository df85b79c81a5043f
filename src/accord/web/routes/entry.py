"""Coming in and going out."""

import math
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from accord.feedback import User
from accord.store.people import folded
from accord.web.accounts import passwords
from accord.web.accounts.remote import remote
from accord.web.accounts.session_cookie import let_in, let_out
from accord.web.accounts.team import OfTeam
from accord.web.accounts.throttle import PER_ADDRESS, PER_NAME
from accord.web.identity import AsAnnotator, OfSite, Refused, Visitor
from accord.web.pages import page
from accord.web.site import Site

router = APIRouter(include_in_schema=False)

WRONG = "The name or the password is wrong."


@router.get("/enter")
def enter(request: Request, site: OfSite, user: Visitor, token: str = "") -> Response:
    """The address that `accord serve` prints: it opens once, for the person at this machine."""
    if user is not None:
        return RedirectResponse("/", 303)
    if not _is_visit(request):
        raise Refused(403, "this address is for a person who goes to it")
    if site.local is None or not site.entrance.use(token):
        return page(request, "entered.html", None, status=403)
    return let_in(site, site.people.open_session(site.local.id))


def _is_visit(request: Request) -> bool:
    """Whether somebody goes to the address; else a browser fetches it just in case, or for a picture in some page."""
    ahead = request.headers.get("sec-purpose") or request.headers.get("purpose") or request.headers.get("x-moz") or ""
    return "prefetch" not in ahead and request.headers.get("sec-fetch-mode", "navigate") == "navigate"


@router.get("/login")
def login(request: Request, site: OfSite, user: Visitor, next: str = "/") -> Response:
    """Where people log in."""
    return RedirectResponse(_within(next), 303) if user else _login_page(request, site, next=next)


@router.post("/login")
def log_in(
    request: Request,
    site: OfTeam,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Begins a session for who knows the password. A session that the browser had before ends."""
    name = name.strip()[:200]
    checked = check(request, site, name, password)
    if checked.wait:
        return _login_page(request, site, 429, checked.wait, name, next)
    if checked.user is None or checked.kept is None:
        return _login_page(request, site, 401, name=name, next=next)
    secret = site.people.log_in(checked.user.id, checked.kept, passwords.renewed(password, checked.kept))
    if secret is None:  # the password was changed this moment
        return _login_page(request, site, 401, name=name, next=next)
    end_session(request, site)
    return let_in(site, secret, _within(next))


class Checked(NamedTuple):
    """Whose name and password they are, and the hash that was kept; or how many seconds to wait before trying."""

    user: User | None = None
    kept: str | None = None
    wait: float = 0.0


def check(request: Request, site: Site, name: str, password: str) -> Checked:
    """Whether a name and a password belong together. Failures count against the name and against the address."""
    by_name, by_address = f"name {folded(name)}", f"address {remote(request)}"
    wait = site.throttle.begin({by_name: PER_NAME, by_address: PER_ADDRESS})
    if wait:
        return Checked(wait=wait)
    user, kept = site.people.password(name) or (None, None)
    if not passwords.fits(password, kept):
        return Checked()
    site.throttle.succeeded(by_name, by_address)
    return Checked(user, kept)


@router.post("/logout")
def logout(request: Request, site: OfSite, _: AsAnnotator) -> Response:
    """Ends this session."""
    end_session(request, site)
    return let_out(site)


@router.post("/logout/everywhere")
def logout_everywhere(request: Request, site: OfSite, user: AsAnnotator) -> Response:
    """Ends the caller's sessions in all browsers."""
    site.people.close_sessions(user.id)
    request.app.state.sessions.forget()
    return let_out(site)


def end_session(request: Request, site: Site) -> None:
    """Ends the session that the browser came with, if any."""
    if secret := request.cookies.get(site.cookie):
        site.people.close_session(secret)
        request.app.state.sessions.forget()


def in_words(seconds: float) -> str:
    """How long to wait."""
    whole = math.ceil(seconds)
    if whole > 90:
        return f"{math.ceil(whole / 60)} minutes"
    return f"{whole} second{'' if whole == 1 else 's'}"


def _login_page(
    request: Request, site: Site, status: int = 200, wait: float = 0.0, name: str = "", next: str = "/"
) -> Response:
    why = f"Too many tries. Try again in {in_words(wait)}." if wait else WRONG if status == 401 else ""
    nobody = site.team and not site.people.has_admin()
    answer = page(request, "login.html", None, status=status, why=why, name=name, next=_within(next), nobody=nobody)
    if wait:
        answer.headers["retry-after"] = str(math.ceil(wait))
    return answer


def _within(address: str) -> str:
    """`address` if it is a page of this server, else the first page: a link must not lead elsewhere after the login."""
    parts = urlsplit(address)
    own = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return address if own and address.isprintable() and "\\" not in address else "/"
