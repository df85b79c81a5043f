"""`accord serve`: the web app, where people vote."""

import getpass
import sys
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accord.cli.project import Project, find_project, open_store
from accord.feedback import AccordError

if TYPE_CHECKING:
    from accord.store import Store
    from accord.web.site import Site

EXAMPLES = (
    "[bold]accord serve[/bold]  for you, on this machine",
    "[bold]accord serve --team --public-url https://votes.example.org --behind-proxy[/bold]  for a team",
)


def command(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.", min=0, max=65535)] = 8765,
    team: Annotated[bool, typer.Option("--team", help="People log in with accounts of their own.")] = False,
    public_url: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Where people reach it, if not here: https://votes.example.org. Repeatable."),
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy says in X-Forwarded-For from where requests come.")
    ] = False,
    new_password: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also print a link at which NAME can choose a new password.")
    ] = None,
    arena: Annotated[bool, typer.Option("--arena/--no-arena", help="Chat with two hidden models at once.")] = True,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the address instead.")] = False,
    project: Annotated[Path | None, typer.Option(help="The project folder.", show_default="found upwards")] = None,
) -> None:
    """Serve the project's web app: vote, curate, watch runs, chat with models in the arena.

    Without --team it is for you alone: it prints an address that opens it once, and a browser that has been let in
    stays so. With --team the first start prints an address that makes the first administrator, who invites the others.
    Ctrl-C ends it; nothing that was saved is lost.
    """
    from accord.cli.serving import draw, hurry, listen, serve

    found = find_project(project)
    with hurry(), listen(host, port) as socket, open_store(found) as store:
        here = [f"http://{name}:{socket.getsockname()[1]}" for name in _names(host, public_url)]
        site = _site(found, store, public_url or here, team, behind_proxy)
        if arena:
            from accord.web.arena.worker import ModelWorker

            site.worker = ModelWorker([sys.executable, "-m", "accord.cli.arena_worker"])
        links = {} if new_password is None else {"new_password": _reset_path(site, new_password)}
        with draw(site):
            serve(socket, site, (public_url or here)[0].rstrip("/"), links, open_it=open_it, as_json=as_json)


command.__doc__ = "\n\n".join([cleandoc(command.__doc__ or ""), *EXAMPLES])


def _site(project: Project, store: "Store", urls: list[str], team: bool, behind_proxy: bool) -> "Site":
    from accord.store.private import keep_private
    from accord.web.accounts.session_cookie import cookie_name
    from accord.web.security import Addresses
    from accord.web.site import Site

    if team:
        keep_private(project.database)
    site = Site(
        project.name,
        store,
        project.runs,
        project.model,
        Addresses.of(urls),
        team=team,
        behind_proxy=behind_proxy,
    )
    site.cookie = cookie_name(urls[0], site.secure)
    if not team:
        site.local = site.people.local(_me())
    return site


def _names(host: str, public_url: list[str] | None) -> list[str]:
    """The names under which a machine listening on `host` is known without further ado."""
    if host in {"127.0.0.1", "localhost"}:
        return ["127.0.0.1", "localhost"]
    if host in {"::1", "[::1]"}:
        return ["[::1]", "localhost"]
    if host in {"0.0.0.0", "::", "[::]"} and not public_url:
        raise AccordError(f"--host {host}: all addresses: say under which name people reach it with --public-url")
    return [host]


def _reset_path(site: "Site", name: str) -> str:
    """Raises AccordError where nobody of that name can log in."""
    from accord.store.people import folded

    if not site.team:
        raise AccordError("--new-password: there are passwords with --team alone")
    for user in site.people.all():
        if folded(user.name) == folded(name) and user.active and not user.local:
            return f"/reset?token={site.invites.reset_link(user.id, 'accord serve')}"
    raise AccordError(f"--new-password {name}: nobody of that name can log in")


def _me() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "me"
