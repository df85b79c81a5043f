"""A site to test with, people in it, and a browser."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from accord.cli.serving import listen
from accord.feedback import Campaign, Form, Message, Prompt, Response, Role, User
from accord.store import Store
from accord.web.app import create_app
from accord.web.drawing import questions
from accord.web.identity import csrf_token
from accord.web.security import Addresses
from accord.web.site import Site

ORIGIN = "http://127.0.0.1:8765"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOT_HERE = "no Chromium on this machine (Debian: apt install chromium)"
#: What Chromium says of an answer that a test provoked.
EXPECTED = (
    r"Failed to load resource: (the server responded with a status of (4\d\d|503)"
    r"|net::ERR_(INTERNET_DISCONNECTED|CONNECTION_REFUSED|FAILED))"
)
#: Else Chromium asks for things of its own; the machine may be closed off.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def world(prompts: int = 6, answers: int = 2) -> list[Prompt | Response]:
    """Prompts with so many different answers each, as messages."""
    asked = [Prompt((Message("user", f"Question {n}: why?"),)) for n in range(prompts)]
    said = [
        Response(prompt.id, (Message("assistant", f"Answer {k} to question {n}."),), source=f"model-{k}")
        for n, prompt in enumerate(asked)
        for k in range(answers)
    ]
    return [*asked, *said]


def make_site(store: Store, *, team: bool = False, origin: str = ORIGIN, runs: Path = Path("runs"), **more) -> Site:
    """A site on `store`; without a team, of a person called `me`."""
    site = Site("a test", store, runs, "smollm2", Addresses.of([origin]), team=team, **more)
    if not team:
        site.local = site.people.local("me")
    return site


def campaign(site: Site, form: Form = Form.PAIR, title: str = "", **settings) -> Campaign:
    """A campaign of `form` with questions on everything in the store, without control questions drawn by chance."""
    made = Campaign("", title or f"A {form} campaign", form, datetime.now(UTC), **{"control_share": 0.0} | settings)
    made = site.campaigns.create(made, "Be **fair**.", "me")
    site.campaigns.add_questions(questions(made, site.store.responses(), per_prompt=1))
    return made


def user(site: Site, name: str, role: Role = Role.ANNOTATOR) -> User:
    """Somebody with an account."""
    return site.people.create(name, role, None)


def client(site: Site, who: User | None = None, *, app=None) -> TestClient:
    """A browser without pages in which `who` is logged in, on the site's origin and with the CSRF token in place."""
    origin = min(site.addresses.origins)
    made = TestClient(app or create_app(site), base_url=origin, headers={"origin": origin}, follow_redirects=False)
    if who is not None:
        secret = site.people.open_session(who.id)
        made.cookies.set(site.cookie, secret)
        made.headers["x-csrf-token"] = csrf_token(secret)
    return made


@contextmanager
def served(site: Site) -> Iterator[str]:
    """The site on a free port of this machine, in a thread; gives its address, and the site answers there alone."""
    with listen("127.0.0.1", 0) as socket:
        address = f"http://127.0.0.1:{socket.getsockname()[1]}"
        site.addresses = Addresses.of([address])
        site.secure = False
        server = uvicorn.Server(uvicorn.Config(create_app(site), log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield address
        server.should_exit = True
        thread.join(10)


@contextmanager
def browsing():
    """A headless Chromium; skips the test where there is none."""
    if CHROMIUM is None:
        pytest.skip(NOT_HERE)
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def tab(chromium, address: str, site: Site, who: User | None, **options) -> Iterator:
    """A page of a fresh browser in which `who`, or nobody, is logged in. On leaving, the page must have had no error
    and asked no other host."""
    context = chromium.new_context(base_url=address, **options)
    context.set_default_timeout(30_000)  # a busy machine takes its time
    if who is not None:
        context.add_cookies([{"name": site.cookie, "value": site.people.open_session(who.id), "url": address}])
    faults: list[str] = []
    context.on(
        "request", lambda request: request.url.startswith((address, "blob:", "data:")) or faults.append(request.url)
    )
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: message.type == "error" and faults.append(message.text))
    try:
        yield page
    except Exception as error:
        error.add_note(f"The page was {page.url} and showed:\n{page.inner_text('body')}\nIts faults: {faults}")
        raise
    finally:
        context.close()
    assert not [fault for fault in faults if not re.search(EXPECTED, fault)], faults


def serious(page) -> list[str]:
    """The accessibility faults of a page that axe calls serious or critical, a line each."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]}"
        for fault in found
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"]
    ]


def to(page, selector):
    """Presses Tab until what fits `selector` has the focus."""
    for _ in range(80):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never leads to {selector}")


def write(page, selector, text):
    to(page, selector)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def press(page, selector):
    """By keyboard, and waits for the page that it leads to."""
    to(page, selector)
    with page.expect_navigation():
        page.keyboard.press("Enter")
