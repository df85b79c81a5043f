"""One's own account: what one has done, the password, API tokens."""

import math
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from accord.feedback import AccordError, User
from accord.store.pace import pace
from accord.web.accounts import passwords
from accord.web.accounts.names import one_line
from accord.web.accounts.remote import here
from accord.web.accounts.team import OfTeam
from accord.web.identity import AsAnnotator, OfSite, Refused
from accord.web.pages import page
from accord.web.routes.entry import check, in_words
from accord.web.schemas_people import Me
from accord.web.site import Site

router = APIRouter()

LONGEST_TOKEN_NAME, MOST_TOKENS = 60, 50

#: What the page says after something was done.
DONE = {
    "password": "Your password is changed. Other browsers are logged out, and your API tokens have ended.",
    "revoked": "The token has ended.",
}


@router.get("/account", include_in_schema=False)
def account(request: Request, user: AsAnnotator, site: OfSite, done: str = "") -> Response:
    """One's own account."""
    return _page(request, user, site, said=DONE.get(done, ""))


@router.post("/account/password", include_in_schema=False)
def change_password(
    request: Request,
    user: AsAnnotator,
    site: OfTeam,
    current: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
) -> Response:
    """Changes one's own password. Other sessions end."""
    secret = _session(request, site)
    checked = check(request, site, user.name, current)
    if checked.wait:
        answer = _page(
            request, user, site, 429, wrong_current=f"Too many tries. Try again in {in_words(checked.wait)}."
        )
        answer.headers["retry-after"] = str(math.ceil(checked.wait))
        return answer
    if checked.user is None or checked.user.id != user.id:
        return _page(request, user, site, 422, wrong_current="That is not your password.")
    try:
        site.people.set_password(user.id, passwords.chosen(password, user.name), keep=secret)
    except AccordError as error:
        return _page(request, user, site, 422, wrong_new=str(error))
    request.app.state.sessions.forget()
    return RedirectResponse("/account?done=password", 303)


@router.post("/account/tokens", include_in_schema=False)
def make_token(
    request: Request,
    user: AsAnnotator,
    site: OfSite,
    name: Annotated[str, Form()] = "",
    days: Annotated[float | None, Form(gt=0, le=3_650)] = None,
) -> Response:
    """Makes an API token, and shows it."""
    _session(request, site)
    try:
        called = one_line(name, "a token's name", LONGEST_TOKEN_NAME)
        known = site.people.tokens(user.id)
        if called in (token.name for token in known):
            raise AccordError(f"you have a token called {called} already (revoke it, or choose another name)")
        if len(known) >= MOST_TOKENS:
            raise AccordError(f"{MOST_TOKENS} tokens are enough (revoke one)")
    except AccordError as error:
        return _page(request, user, site, 422, wrong_token=str(error))
    return _page(request, user, site, token=site.people.open_session(user.id, name=called, days=days), called=called)


@router.post("/account/tokens/{id}/revoke", include_in_schema=False)
def revoke_token(request: Request, id: str, user: AsAnnotator, site: OfSite) -> Response:
    """Ends one of one's own tokens."""
    site.people.revoke_token(user.id, id)
    request.app.state.sessions.forget()
    return RedirectResponse("/account?done=revoked", 303)


@router.get("/api/me", tags=["people"])
def me(user: AsAnnotator) -> Me:
    """Who the session or the token stands for."""
    return Me(id=user.id, name=user.name, role=user.role, annotator=user.annotator_id)


def _session(request: Request, site: Site) -> str:
    """The secret of the browser's session. Raises Refused for an API token: who finds one must not make more of it."""
    if request.headers.get("authorization", "").lower().startswith("bearer"):
        raise Refused(403, "this is done in a browser, not with an API token")
    return request.cookies.get(site.cookie, "")


def _page(
    request: Request,
    user: User,
    site: Site,
    status: int = 200,
    *,
    said: str = "",
    wrong_current: str = "",
    wrong_new: str = "",
    wrong_token: str = "",
    token: str = "",
    called: str = "",
) -> Response:
    return page(
        request,
        "account.html",
        user,
        status=status,
        address=here(request),
        pace=pace(site.store, user.annotator_id),
        tokens=site.people.tokens(user.id),
        fewest=passwords.FEWEST,
        most=passwords.MOST,
        said=said,
        wrong_current=wrong_current,
        wrong_new=wrong_new,
        wrong_token=wrong_token,
        token=token,
        called=called,
    )
