"""`accord serve`: the web app, where people vote."""

import getpass
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer

from accord.cli.project import find_project, open_store
from accord.feedback import AccordError

EXAMPLES = (
    "[bold]accord serve[/bold]  for you, on this machine",
    "[bold]accord serve --team --public-url https://votes.example.org[/bold]  for a team, behind a proxy with HTTPS",
)


def command(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8765,
    team: Annotated[bool, typer.Option("--team", help="People log in with accounts of their own.")] = False,
    public_url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where people reach it, if not here: https://votes.example.org. Repeatable."),
    ] = None,
    arena: Annotated[bool, typer.Option("--arena/--no-arena", help="Chat with two hidden models at once.")] = True,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Serve the project's web app: vote, curate, watch runs, chat with models in the arena.

    Without --team it is for you alone: it prints an address that opens it once, and a browser that has been let in
    stays so. Ctrl-C ends it; nothing that was saved is lost.
    """
    from accord.cli.serving import listen, serve
    from accord.web.app import create_app
    from accord.web.drawing import first_campaign
    from accord.web.security import Addresses
    from accord.web.site import Site

    found = find_project(project)
    with open_store(found) as store, listen(host, port) as socket:
        port = socket.getsockname()[1]
        here = [f"http://{name}:{port}" for name in _names(host)]
        addresses = Addresses.of(public_url or here)
        worker = None
        if arena:
            from accord.web.worker import ModelWorker

            worker = ModelWorker([sys.executable, "-m", "accord.cli.arena_worker"])
        site = Site(
            found.name,
            store,
            found.runs,
            found.model,
            addresses,
            team=team,
            cookie=f"accord_{port}",
            worker=worker,
        )
        if not team:
            site.local = site.people.local(_me())
        first_campaign(site)
        serve(create_app(site), socket, site, (public_url or here)[0], open_it)


command.__doc__ = "\n\n".join([cleandoc(command.__doc__ or ""), *EXAMPLES])


def _names(host: str) -> list[str]:
    """The names under which a machine listening on `host` is known without further ado."""
    if host in {"127.0.0.1", "localhost"}:
        return ["127.0.0.1", "localhost"]
    if host in {"::1", "[::1]"}:
        return ["[::1]", "localhost"]
    if host in {"0.0.0.0", "::"}:
        raise AccordError("--host: all addresses: say under which name people reach it with --public-url")
    return [host]


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "me"
