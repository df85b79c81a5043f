"""The cookie that stands for a session."""

from urllib.parse import urlsplit

from fastapi.responses import RedirectResponse, Response

from accord.store.people import SESSION_DAYS
from accord.web.site import Site


def cookie_name(url: str, secure: bool) -> str:
    """What the cookie is called at the address `url`. Browsers send a host's cookies to all its ports: the port in the
    name keeps servers apart. `__Host-` lets nobody but this very host set it, and over HTTPS alone."""
    port = urlsplit(url).port
    return f"{'__Host-' if secure else ''}accord{f'_{port}' if port else ''}"


def let_in(site: Site, secret: str, to: str = "/") -> Response:
    """On to another page, with the cookie of a session."""
    response = RedirectResponse(to, 303)
    response.set_cookie(
        site.cookie, secret, max_age=SESSION_DAYS * 86_400, httponly=True, samesite="lax", secure=site.secure, path="/"
    )
    return response


def let_out(site: Site, to: str = "/login") -> Response:
    """On to another page, without the cookie."""
    response = RedirectResponse(to, 303)
    response.delete_cookie(site.cookie, path="/", httponly=True, samesite="lax", secure=site.secure)
    return response
