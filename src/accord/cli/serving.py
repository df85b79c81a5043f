"""A socket, a server on it, and the address that opens it."""

import errno
import gc
import json
import logging
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from rich.console import Console

from accord.feedback import AccordError

if TYPE_CHECKING:
    from accord.web.site import Site

#: Seconds that answers have for ending after Ctrl-C.
GRACE = 1
#: Seconds for which the first page goes before everything else.
HEAD_START = 2

said = Console(stderr=True, highlight=False)


@contextmanager
def hurry() -> Iterator[None]:
    """No garbage is looked for until the server answers: all that is loaded stays, and looking takes a tenth of the
    start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that connections can be made to from now on. Raises AccordError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host.strip("[]"), port))
        except OSError as error:
            why = error.strerror or error
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise AccordError(f"--host {host}: {why} (name an address of this machine)") from None
            raise AccordError(f"--port {port}: {why} (name another, or 0 for a free one)") from None
        made.listen(2048)
        yield made


@contextmanager
def draw(site: "Site") -> Iterator[None]:
    """Meanwhile takes up new answers into the project's first campaign: with very many that takes longer than anybody
    would wait for the server."""
    new, ended = not site.campaigns.all(), threading.Event()

    def work() -> None:
        if not new:
            ended.wait(HEAD_START)
        from accord.web.drawing import first_campaign

        try:
            first_campaign(site)
        except Exception as error:
            if not ended.is_set():  # else the store was closed under it; the next start takes them up
                said.print(f"new answers were not taken up: {error}", style="red", markup=False)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if new:  # the first page would have nothing on it
        thread.join(HEAD_START)
    try:
        yield
    finally:
        ended.set()


def serve(
    listening: socket.socket, site: "Site", address: str, links: Mapping[str, str], *, open_it: bool, as_json: bool
) -> None:
    """Serves until Ctrl-C. `links` are paths that are told beside the address (name -> path)."""
    import uvicorn

    from accord.web.app import create_app

    app = create_app(site, soon=True)
    door, further = f"{address}{_door(site)}", {name: f"{address}{path}" for name, path in links.items()}
    told = {"address": address, "open": door, "port": listening.getsockname()[1], "team": site.team} | further

    class Server(uvicorn.Server):
        """Tells where it is as soon as it answers; from then on Ctrl-C ends it in good order."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if as_json:
                print(json.dumps(told), flush=True)
            else:
                _tell(site, door, further)
            if open_it:
                threading.Thread(target=webbrowser.open, args=[door], daemon=True).start()
            gc.freeze()
            gc.enable()

    logging.getLogger("uvicorn.error").addFilter(_is_news)
    server = Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # what is raised again once the server has ended
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _door(site: "Site") -> str:
    """The path by which one comes in."""
    if not site.team:
        return f"/enter?token={site.entrance.secret}"
    return "/" if site.people.has_admin() else f"/setup?token={site.entrance.secret}"


def _tell(site: "Site", door: str, links: Mapping[str, str]) -> None:
    said.print("\nAccord serves", site.name, style="bold", markup=False)
    said.print(f"  {door}", soft_wrap=True, markup=False)
    if "/setup" in door:
        said.print("  This address works once: it makes the first administrator's account.", style="dim")
    elif not site.team:
        said.print("  This address works once; the browser that opens it stays let in.", style="dim")
    for link in links.values():
        said.print(f"  {link}", soft_wrap=True, markup=False)
        said.print("  This address works once, for a day: it sets a new password.", style="dim")
    said.print("  Ctrl-C ends it.\n", style="dim")


def _is_news(record: logging.LogRecord) -> bool:
    """That answers were cut off on Ctrl-C is none."""
    return "graceful shutdown exceeded" not in record.getMessage()
