"""Accounts: who there is, what they may do, and a way back in for who forgot a password."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from accord.feedback import Role, User
from accord.store.pace import answers
from accord.web.accounts.remote import here
from accord.web.accounts.team import OfTeam
from accord.web.identity import AsAdmin, AsCurator
from accord.web.pages import page
from accord.web.schemas_people import Person, PersonChange
from accord.web.site import Site

router = APIRouter()

#: What the page says after something was done.
DONE = {
    "changed": "Changed.",
    "deactivated": "Deactivated: logged out everywhere. What they voted stays.",
    "reactivated": "Reactivated: they can log in again.",
    "revoked": "The invitation has ended.",
}


@router.get("/people", include_in_schema=False)
def people(request: Request, user: AsCurator, site: OfTeam, done: str = "") -> Response:
    """Accounts and invitations; for curators, the invitations that they made."""
    return people_page(request, user, site, said=DONE.get(done, ""))


@router.post("/people/{id}/role", include_in_schema=False)
def change_role(request: Request, id: str, user: AsAdmin, site: OfTeam, role: Annotated[Role, Form()]) -> Response:
    """Gives somebody another role."""
    _change(request, site, id, role=role)
    return RedirectResponse("/people?done=changed", 303)


@router.post("/people/{id}/deactivate", include_in_schema=False)
def deactivate(request: Request, id: str, user: AsAdmin, site: OfTeam) -> Response:
    """Logs somebody out everywhere, for good; their votes stay."""
    _change(request, site, id, active=False)
    return RedirectResponse("/people?done=deactivated", 303)


@router.post("/people/{id}/reactivate", include_in_schema=False)
def reactivate(request: Request, id: str, user: AsAdmin, site: OfTeam) -> Response:
    """Lets somebody log in again."""
    _change(request, site, id, active=True)
    return RedirectResponse("/people?done=reactivated", 303)


@router.post("/people/{id}/reset", include_in_schema=False)
def reset(request: Request, id: str, user: AsAdmin, site: OfTeam) -> Response:
    """Makes a link with which somebody can choose a new password, and shows it."""
    secret = site.invites.reset_link(id, user.name)
    link = f"{here(request)}/reset?token={secret}"
    return people_page(request, user, site, link=link, link_for=site.people.get(id).name)


@router.get("/api/people", tags=["people"])
def accounts(user: AsAdmin, site: OfTeam) -> list[Person]:
    """Everybody with an account, by name."""
    answered = answers(site.store)
    return [_told(person, answered) for person in site.people.all()]


@router.patch("/api/people/{id}", tags=["people"])
def change(request: Request, id: str, wish: PersonChange, user: AsAdmin, site: OfTeam) -> Person:
    """Changes somebody's role, or whether they can log in."""
    _change(request, site, id, role=wish.role, active=wish.active)
    return _told(site.people.get(id), answers(site.store))


def people_page(
    request: Request, user: User, site: Site, *, said: str = "", link: str = "", link_for: str = ""
) -> Response:
    """The page; `link` is one that was made just now, for somebody, or for people of some role."""
    everybody = [person for person in site.people.all() if not person.local] if user.role is Role.ADMIN else []
    return page(
        request,
        "people.html",
        user,
        everybody=sorted(everybody, key=lambda person: not person.active),
        answered=answers(site.store) if everybody else {},
        invites=site.invites.all(whose(user)),
        said=said,
        link=link,
        link_for=link_for,
    )


def whose(user: User) -> str | None:
    """Whose invitations somebody sees and ends: their own, administrators everybody's."""
    return None if user.role is Role.ADMIN else user.name


def may_invite(user: User, role: Role) -> bool:
    """Curators invite annotators; administrators invite whom they like."""
    return user.role is Role.ADMIN or (user.role is Role.CURATOR and role is Role.ANNOTATOR)


def _change(request: Request, site: Site, id: str, *, role: Role | None = None, active: bool | None = None) -> None:
    site.people.change(id, role=role, active=active)
    request.app.state.sessions.forget()


def _told(person: User, answered: dict[str, int]) -> Person:
    return Person(
        id=person.id,
        name=person.name,
        role=person.role,
        annotator=person.annotator_id,
        active=person.active,
        created=person.created,
        answers=answered.get(person.annotator_id, 0),
    )
