"""Coming in and going out."""

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from accord.store.people import SESSION_DAYS
from accord.web.identity import AsAnnotator, OfSite, Refused, Visitor
from accord.web.pages import page
from accord.web.site import Site

router = APIRouter(include_in_schema=False)


def with_session(site: Site, secret: str, to: str = "/") -> Response:
    """On to another page, with a session's cookie."""
    response = RedirectResponse(to, 303)
    response.set_cookie(
        site.cookie, secret, max_age=SESSION_DAYS * 86_400, httponly=True, samesite="lax", secure=site.secure, path="/"
    )
    return response


@router.get("/enter")
def enter(request: Request, site: OfSite, user: Visitor, token: str = "") -> Response:
    """The address that `accord serve` prints: it opens once, for the person at this machine."""
    if user is not None:
        return RedirectResponse("/", 303)
    if site.local is None or "prefetch" in request.headers.get("sec-purpose", "") or not site.entrance.use(token):
        raise Refused(403, "this address has been used (start `accord serve` again for a new one)")
    return with_session(site, site.people.open_session(site.local.id))


@router.get("/login")
def login(request: Request, user: Visitor) -> Response:
    """Where people log in."""
    return RedirectResponse("/", 303) if user else page(request, "login.html", None, why="", name="")


@router.post("/logout")
def logout(request: Request, site: OfSite, _: AsAnnotator) -> Response:
    """Ends this session."""
    site.people.close_session(request.cookies.get(site.cookie, ""))
    request.app.state.sessions.forget()
    response = RedirectResponse("/login", 303)
    response.delete_cookie(site.cookie, path="/")
    return response
