"""Invitations: curators let annotators in, administrators whoever they like."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from accord.feedback import Role, User
from accord.web.accounts.names import LONGEST_NOTE, one_line
from accord.web.accounts.remote import here
from accord.web.accounts.team import OfTeam
from accord.web.identity import AsCurator, Refused
from accord.web.routes.people import may_invite, people_page, whose
from accord.web.schemas_people import InviteMade, InviteOut, NewInvite
from accord.web.site import Site

router = APIRouter()


@router.post("/people/invites", include_in_schema=False)
def make(
    request: Request,
    user: AsCurator,
    site: OfTeam,
    role: Annotated[Role, Form()] = Role.ANNOTATOR,
    days: Annotated[float, Form(gt=0, le=90)] = 7,
    uses: Annotated[int, Form(ge=1, le=1_000)] = 1,
    note: Annotated[str, Form()] = "",
) -> Response:
    """Makes an invitation, and shows its link."""
    wish = NewInvite(role=role, days=days, uses=uses, note=one_line(note, "a note", LONGEST_NOTE, 0))
    return people_page(request, user, site, link=_invite(request, site, user, wish), link_for=role)


@router.post("/people/invites/{id}/revoke", include_in_schema=False)
def take_back(id: str, user: AsCurator, site: OfTeam) -> Response:
    """Ends an invitation."""
    site.invites.revoke(id, whose(user))
    return RedirectResponse("/people?done=revoked", 303)


@router.get("/api/invites", tags=["people"])
def invites(user: AsCurator, site: OfTeam) -> list[InviteOut]:
    """The invitations that can still be used; for curators, their own."""
    return [
        InviteOut(
            id=invite.id,
            role=invite.role,
            note=invite.note,
            by=invite.created_by,
            created=invite.created,
            expires=invite.expires,
            uses_left=invite.uses_left,
        )
        for invite in site.invites.all(whose(user))
    ]


@router.post("/api/invites", tags=["people"], status_code=201)
def invite(request: Request, user: AsCurator, site: OfTeam, wish: NewInvite) -> InviteMade:
    """Makes an invitation. Curators can invite annotators."""
    link = _invite(request, site, user, wish)
    expires = datetime.now(UTC) + timedelta(days=wish.days)
    return InviteMade(link=link, role=wish.role, expires=expires, uses_left=wish.uses)


@router.delete("/api/invites/{id}", tags=["people"], status_code=204)
def revoke(id: str, user: AsCurator, site: OfTeam) -> None:
    """Ends an invitation; for curators, one of their own."""
    site.invites.revoke(id, whose(user))


def _invite(request: Request, site: Site, user: User, wish: NewInvite) -> str:
    if not may_invite(user, wish.role):
        raise Refused(403, "curators invite annotators (ask an administrator)")
    note = one_line(wish.note, "a note", LONGEST_NOTE, 0)
    secret = site.invites.create(wish.role, user.name, note=note, days=wish.days, uses=wish.uses)
    return f"{here(request)}/join?token={secret}"
