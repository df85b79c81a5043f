"""`accord serve` as a process: what it prints, who it lets in, how it ends, what it does not load."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

import pytest
from typer.testing import CliRunner

from accord.cli.main import app
from accord.cli.serve import _reset_path
from accord.cli.serving import _door
from accord.store import Store
from accord.web.app import create_app
from web_kit import client, make_site, world

ACCORD = [sys.executable, "-m", "accord"]
#: The machine may be busy with other tests.
PATIENCE = 60


@pytest.fixture
def project(tmp_path):
    (tmp_path / "accord.yaml").write_text("name: a test\n", encoding="utf-8")
    with Store.open(tmp_path / "accord.db") as store:
        store.add(world(3))
    return tmp_path


@contextmanager
def serving(project, *options):
    """`accord serve --json` with `options`; the process, and what it told."""
    with subprocess.Popen(
        [*ACCORD, "serve", "--port", "0", "--no-arena", "--json", *options],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield process, json.loads(line)
        finally:
            process.kill()


class Stay(HTTPRedirectHandler):
    """Redirects are looked at, not followed."""

    def redirect_request(self, *_):
        return None


def browser():
    """A function `ask(url, method="GET", **headers)` -> status, body; it keeps cookies."""
    opener = build_opener(HTTPCookieProcessor(), Stay)

    def ask(url, method="GET", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with opener.open(Request(url, method=method, headers=named), timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    return ask


@pytest.fixture
def refused(project, monkeypatch):
    """What `accord serve` with some options says when it does not start: one line."""
    monkeypatch.chdir(project)

    def said(*options):
        done = CliRunner().invoke(app, ["serve", "--no-arena", *options])
        assert done.exit_code == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        return line

    return said


def test_the_address_opens_once_and_the_session_survives_a_restart(project):
    ask, began = browser(), time.monotonic()
    with serving(project) as (process, told):
        assert ask(told["address"])[0] == 303  # to the login: nobody is in yet
        took = time.monotonic() - began
        print(f"from the command to the first answer: {took:.2f} s (load {os.getloadavg()[0]:.1f})")
        assert told["open"].startswith(f"{told['address']}/enter?token=")
        assert told["team"] is False
        assert ask(told["open"], "HEAD")[0] >= 400
        assert ask(told["open"], sec_purpose="prefetch")[0] == 403
        assert ask(told["open"])[0] == 303
        assert ask(told["address"])[0] == 200
        status, page = browser()(told["open"])
        assert status == 403
        assert "This address has been used" in page
        with connections(told):
            ended(process, signal.SIGINT)
        assert process.stderr.read() == ""
    with serving(project, "--port", str(told["port"])) as (_, again):
        assert again["address"] == told["address"]
        assert ask(again["address"])[0] == 200


def test_it_says_where_it_is(project):
    with subprocess.Popen(
        [*ACCORD, "serve", "--port", "0", "--no-arena"], cwd=project, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = []
        while "Ctrl-C" not in "".join(lines[-1:]):
            lines.append(process.stderr.readline())
            assert lines[-1]
        ended(process, signal.SIGTERM)  # at once: it may not have begun to answer
        assert process.stderr.read().strip() == ""
    said = "".join(lines)
    assert "Accord serves a test" in said
    assert re.search(r"^  http://127\.0\.0\.1:\d+/enter\?token=[\w-]{43}$", said, re.MULTILINE)


@contextmanager
def connections(told):
    """One that a browser keeps for later, and one on which a request never comes to its end."""
    where = urlsplit(told["address"])
    kept = HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
    kept.request("GET", "/healthz")
    assert kept.getresponse().read() == b'{"ok":true}'
    head = f"POST /login HTTP/1.1\r\nHost: {where.netloc}\r\nOrigin: {told['address']}\r\nContent-Length: 9\r\n\r\n"
    with socket.create_connection((where.hostname, where.port)) as half:
        half.sendall(head.encode() + b"x")
        time.sleep(0.2)
        yield
    kept.close()


def ended(process, how):
    """Ends the process by a signal: quietly, and within seconds (one or two on a quiet machine)."""
    began = time.monotonic()
    process.send_signal(how)
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - began < 15


def test_a_port_in_use(refused):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert refused("--port", port) == f"--port {port}: Address already in use (name another, or 0 for a free one)"


def test_no_project(refused, project):
    (project / "accord.yaml").unlink()
    assert "accord init" in refused()


def test_a_database_that_cannot_be_reached(refused, project):
    (project / "accord.yaml").write_text("database: postgresql://me:secret@127.0.0.1:1/votes\n", encoding="utf-8")
    line = refused("--port", "0")
    assert "127.0.0.1" in line
    assert "refused" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "--public-url"),
        (["--public-url", "votes.example.org"], "not an address"),
        (["--host", "256.1.1.1"], "--host 256.1.1.1"),
        (["--new-password", "Ann"], "--team"),
        (["--team", "--new-password", "Ann"], "nobody of that name"),
    ],
)
def test_options_that_make_no_sense(refused, options, said):
    assert said in refused("--port", "0", *options)


def test_a_team_s_first_start_tells_where_the_first_account_is_made(project):
    (project / "accord.db").chmod(0o644)
    with serving(project, "--team", "--public-url", "https://votes.example.org/", "--behind-proxy") as (_, told):
        assert told["address"] == "https://votes.example.org"
        door = told["open"].removeprefix(told["address"])
        assert door.startswith("/setup?token=")
        here = f"http://127.0.0.1:{told['port']}"
        assert browser()(here + door)[0] == 421
        status, page = browser()(here + door, host="votes.example.org")
        assert status == 200
        assert "Make your account" in page
        assert {file.stat().st_mode & 0o777 for file in project.glob("accord.db*")} == {0o600}


def test_a_team_s_later_starts_tell_where_to_log_in(project):
    with Store.open(project / "accord.db") as store:
        site = make_site(store, team=True)
        assert _door(site) == f"/setup?token={site.entrance.secret}"
        ann = site.people.create_first("Ann", "the hash of a password")
        assert _door(site) == "/"
        path = _reset_path(site, "ann")
        assert site.invites.reset_for(path.removeprefix("/reset?token=")) == ann


@pytest.mark.parametrize("first", ["/", "/account", "/api/openapi.json"])
def test_what_is_loaded_later_is_there_when_it_is_asked_for(project, first):
    with Store.open(project / "accord.db") as store:
        site = make_site(store)
        with client(site, site.local, app=create_app(site, soon=True)) as browser:
            assert browser.get(first).status_code == 200
            told = browser.get("/api/openapi.json").json()
        assert told == client(site).get("/api/openapi.json").json()


LOADED = """
import sys
from pathlib import Path
from starlette.testclient import TestClient
from accord.store import Store
from accord.web.app import create_app
from accord.web.security import Addresses
from accord.web.site import Site

with Store.open({database!r}) as store:
    site = Site("a test", store, Path("runs"), "smollm2", Addresses.of(["http://testserver"]))
    site.local = site.people.local("me")
    soon = create_app(site, soon=True)
    early = set(sys.modules)
    browser = TestClient(create_app(site), cookies={{site.cookie: site.people.open_session(site.local.id)}})
    assert browser.get("/").status_code == browser.get("/api/openapi.json").status_code == 200
print(*early & {{"numpy", "markdown_it", "argon2"}}, *set(sys.modules) & {{"torch", "transformers", "datasets"}})
"""


def test_nothing_heavy_is_loaded(project):
    code = LOADED.format(database=str(project / "accord.db"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.split() == []
