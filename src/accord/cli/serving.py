"""A socket, a server on it, and the address that opens it."""

import socket
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from rich.console import Console

from accord.feedback import AccordError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from accord.web.site import Site

said = Console(stderr=True, highlight=False)


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that connections can be made to from now on. Raises AccordError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host.strip("[]"), port))
        except OSError as error:
            raise AccordError(f"--port {port}: {error.strerror or error} (name another, or 0 for a free one)") from None
        made.listen(2048)
        yield made


def serve(app: "FastAPI", listening: socket.socket, site: "Site", address: str, open_it: bool) -> None:
    """Serves until Ctrl-C."""
    door = f"{address}/enter?token={site.entrance.secret}"
    if site.team:
        first = not any(user.active and not user.local for user in site.people.all())
        door = f"{address}/setup?token={site.entrance.secret}" if first else address
    said.print(f"\n[bold]Accord serves {site.name}[/]")
    said.print(f"  {door}", soft_wrap=True)
    if site.team and "/setup" in door:
        said.print("  This address works once: it makes the first administrator's account.", style="dim")
    elif not site.team:
        said.print("  This address works once; the browser that opens it stays let in.", style="dim")
    said.print("  Ctrl-C ends it.\n", style="dim")
    if open_it:
        webbrowser.open(door)
    settings = {"log_level": "warning", "access_log": False, "proxy_headers": False, "server_header": False}
    config = uvicorn.Config(app, timeout_graceful_shutdown=3, **settings)
    uvicorn.Server(config).run(sockets=[listening])
