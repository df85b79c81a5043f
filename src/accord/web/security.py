"""What every request passes before it reaches a route: known host, own origin, bounded body; and what every answer
carries."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
#: Where files may be sent.
UPLOADS = frozenset({"/api/import", "/import"})

#: Nothing but this server's own files, no frame around its pages, and no inline script or style anywhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


#: Browsers leave these out.
PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Addresses:
    """The origins, such as `http://127.0.0.1:8000`, under which this server is known."""

    origins: frozenset[str]

    @classmethod
    def of(cls, urls: Iterable[str]) -> "Addresses":
        """Raises ValueError for an address that is no http(s)://HOST[:PORT]."""
        origins = set()
        for url in urls:
            parts = urlsplit(url)
            further = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
            if parts.scheme not in PORTS or not parts.netloc or further:
                raise ValueError(f"{url}: not an address (write https://votes.example.org, without a path)")
            origins.add(f"{parts.scheme}://{parts.netloc.lower().removesuffix(PORTS[parts.scheme])}")
        return cls(frozenset(origins))

    @property
    def hosts(self) -> frozenset[str]:
        """What a request's Host may be."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)


class Guard:
    """ASGI middleware. Refuses, before routing: an unknown Host (DNS rebinding), a request that changes something and
    does not come from a page of this server (CSRF) unless it carries an API token, a body over the limit."""

    def __init__(self, app: Any, addresses: Addresses, body_limit: int, upload_limit: int):
        self._app = app
        self._addresses = addresses
        self._hosts = addresses.hosts
        self._body_limit = body_limit
        self._upload_limit = upload_limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _single(scope["headers"])
        refusal = self._refusal(scope["method"], headers)
        if refusal:
            await _refuse(send, *refusal)
            return
        limit = self._upload_limit if scope["path"] in UPLOADS else self._body_limit
        if int(headers.get("content-length") or 0) > limit:
            await _refuse(send, 413, f"more than {limit // 2**20} MiB at a time are not taken")
            return
        await self._app(scope, _bounded(receive, limit), _with_headers(send))

    def _refusal(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return 421, "this server does not answer for that host name (start it with --public-url for another)"
        if not headers.get("content-length", "0").isdecimal():
            return 400, "Content-Length is no number"
        if method in SAFE:
            return None
        origin = headers.get("origin")
        if origin is None:
            bearer = headers.get("authorization", "").lower().startswith("bearer ")
            if bearer or headers.get("sec-fetch-site") == "same-origin":
                return None
            return 403, "no Origin: send the request from a page of this server, or with an API token"
        own = origin.lower() in self._addresses.origins and urlsplit(origin.lower()).netloc == host
        return None if own else (403, "it comes from another site")


def _single(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; one that comes twice is joined, so that it fits nothing."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


class TooLarge(Exception):
    """A body that says less of its length than is true."""


def _bounded(receive: Any, limit: int) -> Any:
    seen = 0

    async def bounded() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge
        return message

    return bounded


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            given = {name.decode("latin-1").lower() for name, _ in message["headers"]}
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in HEADERS.items() if name not in given),
            ]
        await send(message)

    return sending


async def _refuse(send: Any, status: int, why: str) -> None:
    body = f"{why}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
