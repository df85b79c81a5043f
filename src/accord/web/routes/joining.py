"""Links that make an account, or give one a new password: the first administrator's, invitations, forgotten passwords.

Looking at such a page uses nothing up; sending its form does.
"""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from accord.feedback import AccordError, Invite, Role, User
from accord.web.accounts import passwords
from accord.web.accounts.names import name_of
from accord.web.accounts.session_cookie import let_in
from accord.web.accounts.team import OfTeam
from accord.web.identity import Visitor
from accord.web.pages import page
from accord.web.routes.entry import end_session
from accord.web.site import Site

router = APIRouter(include_in_schema=False)

Given = Annotated[str, Form()]


@router.get("/setup")
def setup_page(request: Request, site: OfTeam, user: Visitor, token: str = "") -> Response:
    """The address that `accord serve --team` prints while there is no administrator."""
    return _not_to_be_set_up(request, site, token) or _setup_form(request, token)


@router.post("/setup")
def setup(request: Request, site: OfTeam, token: Given = "", name: Given = "", password: Given = "") -> Response:
    """Makes the first administrator."""
    if refusal := _not_to_be_set_up(request, site, token):
        return refusal
    try:
        chosen = name_of(name)
        user = site.people.create_first(chosen, passwords.chosen(password, chosen))
    except AccordError as error:
        return _not_to_be_set_up(request, site, token) or _setup_form(request, token, name, str(error))
    site.entrance.use(token)
    return _as(request, site, user, "/people")


def _not_to_be_set_up(request: Request, site: Site, token: str) -> Response | None:
    if site.people.has_admin():
        return _ended(
            request,
            "There is an administrator already",
            "This page made the first one. Log in, or ask an administrator for an invitation.",
        )
    if not site.entrance.opens(token):
        return _ended(
            request,
            "This is not the address",
            "The terminal in which accord serve runs shows the one that opens this page. "
            "Each start of the server prints another.",
        )
    return None


def _setup_form(request: Request, token: str, name: str = "", problem: str = "") -> Response:
    lead = "You will be the first administrator: you invite the others, and say what each may do."
    return _form(request, "Make your account", lead, "/setup", token, name, problem)


@router.get("/join")
def join_page(request: Request, site: OfTeam, user: Visitor, token: str = "") -> Response:
    """What an invitation leads to."""
    invite = site.invites.of(token)
    return _uninvited(request) if invite is None else _join_form(request, site, invite, token, user)


@router.post("/join")
def join(request: Request, site: OfTeam, token: Given = "", name: Given = "", password: Given = "") -> Response:
    """Makes the account that an invitation promised."""
    if site.invites.of(token) is None:
        return _uninvited(request)
    try:
        chosen = name_of(name)
        user = site.invites.join(token, chosen, passwords.chosen(password, chosen))
    except AccordError as error:
        invite = site.invites.of(token)  # it may have been used this moment
        return (
            _uninvited(request) if invite is None else _join_form(request, site, invite, token, None, name, str(error))
        )
    return _as(request, site, user)


#: What each may do, for those who are invited.
MAY = {
    Role.ANNOTATOR: "to say which answers of language models are good",
    Role.CURATOR: "as a curator: to make campaigns and to see how they go",
    Role.ADMIN: "as an administrator",
}


def _join_form(
    request: Request, site: Site, invite: Invite, token: str, user: User | None, name: str = "", problem: str = ""
) -> Response:
    lead = f"{invite.created_by} invites you to {site.name}, {MAY[invite.role]}."
    return _form(request, "Make your account", lead, "/join", token, name, problem, instead=user)


def _uninvited(request: Request) -> Response:
    return _ended(
        request,
        "This invitation has ended",
        "It has been used, it was taken back, or its time is over. Whoever sent it to you can make another. "
        "If you have made your account already, log in.",
    )


@router.get("/reset")
def reset_page(request: Request, site: OfTeam, token: str = "") -> Response:
    """What the link for a forgotten password leads to."""
    user = site.invites.reset_for(token)
    return _not_reset(request) if user is None else _reset_form(request, user, token)


@router.post("/reset")
def reset(request: Request, site: OfTeam, token: Given = "", password: Given = "") -> Response:
    """Gives an account a new password. Whoever was logged in to it is logged out."""
    user = site.invites.reset_for(token)
    if user is None:
        return _not_reset(request)
    try:
        user = site.invites.reset(token, passwords.chosen(password, user.name))
    except AccordError as error:
        again = site.invites.reset_for(token)
        return _not_reset(request) if again is None else _reset_form(request, again, token, str(error))
    request.app.state.sessions.forget()
    return _as(request, site, user)


def _reset_form(request: Request, user: User, token: str, problem: str = "") -> Response:
    lead = "It takes the place of the old one, and logs you out wherever you were logged in."
    return _form(request, "Choose a new password", lead, "/reset", token, user.name, problem, known=True)


def _not_reset(request: Request) -> Response:
    return _ended(
        request,
        "This link has ended",
        "It has been used, or its day is over. Ask an administrator for another.",
    )


def _form(
    request: Request,
    heading: str,
    lead: str,
    action: str,
    token: str,
    name: str,
    problem: str,
    *,
    known: bool = False,
    instead: User | None = None,
) -> Response:
    """The form for a name and a password; of a `known` account for the password alone."""
    return page(
        request,
        "new_account.html",
        None,
        status=422 if problem else 200,
        heading=heading,
        lead=lead,
        action=action,
        token=token,
        name=name,
        problem=problem,
        known=known,
        instead=instead,
        fewest=passwords.FEWEST,
        most=passwords.MOST,
    )


def _ended(request: Request, title: str, why: str) -> Response:
    return page(request, "link_ended.html", None, status=410, title=title, why=why)


def _as(request: Request, site: Site, user: User, to: str = "/") -> Response:
    """On, logged in as `user`. A session that the browser had before ends."""
    end_session(request, site)
    return let_in(site, site.people.open_session(user.id), to)
