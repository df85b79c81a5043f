"""What hostile hands try on every route: the routes are listed from the app, so that a new one is held to the same."""

import re
from pathlib import Path

import pytest
from starlette.routing import Route

from accord.feedback import Role
from accord.store import Store
from accord.web.app import PUBLIC, create_app
from accord.web.pages import HERE
from accord.web.security import POLICY, SAFE, Addresses
from web_kit import ORIGIN, campaign, client, make_site, user, world

pytestmark = pytest.mark.xdist_group("web-security")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with Store.open(folder / "accord.db") as store:
        store.add(world())
        made = make_site(store, team=True, runs=folder / "runs")
        campaign(made, title="First")
        yield made


@pytest.fixture(scope="module")
def app(site):
    return create_app(site)


@pytest.fixture(scope="module")
def people(site):
    return {role: user(site, str(role), role) for role in Role}


def routes():
    """(method, path) of every route of the app."""
    with Store.open(":memory:") as store:
        app = create_app(make_site(store, team=True))
    return sorted({(method, route.path) for route in _flat(app) for method in route.methods - {"HEAD", "OPTIONS"}})


def _flat(router):
    for route in router.routes:
        if isinstance(route, Route):
            yield route
        else:
            yield from _flat(route.original_router)


ALL = routes()
CHANGING = [(method, path) for method, path in ALL if method not in SAFE]
GUARDED = [(method, path) for method, path in ALL if path not in PUBLIC]


def filled(path):
    return re.sub(r"\{[^}]+\}", "nowhere", path)


def test_the_routes_are_there():
    assert len(ALL) > 40
    assert len(CHANGING) > 15
    assert {"/api/votes", "/api/undo", "/api/flags", "/logout"} <= {path for _, path in CHANGING}
    assert PUBLIC - {"/api/openapi.json"} <= {path for _, path in ALL}, "PUBLIC names a route that is not there"


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_nobody_gets_in_without_logging_in(app, site, method, path):
    answer = client(site, app=app).request(method, filled(path))
    if path.startswith("/api/") or method not in SAFE:
        assert answer.status_code == 401, answer.text
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize(("method", "path"), ALL)
def test_a_foreign_host_is_refused(app, site, people, method, path):
    for host in ("evil.example", "127.0.0.1", "127.0.0.1:9999", "localhost.evil.example:8765", ""):
        logged_in = client(site, people[Role.ADMIN], app=app)
        answer = logged_in.request(method, filled(path), headers={"host": host})
        assert answer.status_code == 421, (host, answer.text)


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_another_site_cannot_change_anything(app, site, people, method, path):
    foreign = [
        "https://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "https://127.0.0.1:8765",
        ORIGIN + ".evil.example",
    ]
    for origin in foreign:
        logged_in = client(site, people[Role.ADMIN], app=app)
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            headers = {"origin": origin, "content-type": kind, "sec-fetch-site": "same-origin"}
            answer = logged_in.request(method, filled(path), headers=headers, content=b"{}")
            assert answer.status_code == 403, (origin, kind, answer.text)
    logged_in = client(site, people[Role.ADMIN], app=app)
    del logged_in.headers["origin"]
    assert logged_in.request(method, filled(path)).status_code == 403  # a browser says where it comes from


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p in CHANGING if p not in PUBLIC])
def test_a_change_needs_the_sessions_own_token(app, site, people, method, path):
    for token in ("", "0" * 64, None):
        logged_in = client(site, people[Role.ADMIN], app=app)
        logged_in.headers.pop("x-csrf-token")
        headers = {} if token is None else {"x-csrf-token": token}
        answer = logged_in.request(method, filled(path), headers=headers, data={"csrf": token or ""})
        assert answer.status_code == 403, (token, answer.text)
        assert "load it again" in answer.text


@pytest.mark.parametrize("cookie", ["", "x", "0" * 43, "../../etc/passwd", "é", "a" * 5000, "'; DROP TABLE users; --"])
def test_a_forged_cookie_lets_nobody_in(app, site, cookie):
    forger = client(site, app=app)
    headers = {"cookie": f"{site.cookie}={cookie}".encode()}
    assert forger.get("/api/me", headers=headers).status_code == 401


@pytest.mark.parametrize("token", ["", "x", "0" * 43, "a" * 5000, "a b"])
def test_a_forged_token_lets_nobody_in(app, site, token):
    assert client(site, app=app).get("/api/me", headers={"authorization": f"Bearer {token}"}).status_code == 401


def test_a_sessions_secret_is_no_api_token_and_the_other_way_round(app, site, people):
    who = people[Role.ANNOTATOR]
    session, token = site.people.open_session(who.id), site.people.open_session(who.id, name="a script")
    stranger = client(site, app=app)
    assert stranger.get("/api/me", headers={"authorization": f"Bearer {session}"}).status_code == 401
    assert stranger.get("/api/me", headers={"cookie": f"{site.cookie}={token}"}).status_code == 401
    assert stranger.get("/api/me", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_every_answer_carries_the_policy(app, site, people):
    logged_in = client(site, people[Role.ADMIN], app=app)
    for method, path in ALL:
        answer = logged_in.request(method, filled(path), headers={"accept": "text/html"})
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["content-security-policy"] == POLICY, path
        assert answer.headers["referrer-policy"] == "same-origin", path
        assert answer.status_code < 500, (path, answer.text)


def test_annotators_may_do_only_what_annotators_do(app, site, people):
    """What an annotator may ask for; all else is refused, or is not there for them."""
    annotator = client(site, people[Role.ANNOTATOR], app=app)
    allowed = {
        path
        for method, path in GUARDED
        if annotator.request(method, filled(path)).status_code not in {401, 403} and path != "/logout"
    }
    for path in allowed:
        assert re.match(
            r"/($|vote/|account|arena|api/(me|votes|skips|undo|flags|arena|campaigns/\{campaign_id\}/))", path
        ), path
    assert "/api/votes" in allowed
    for curators in ("/campaigns", "/runs", "/api/runs", "/api/export", "/people", "/api/people"):
        assert curators not in allowed


def test_a_body_over_the_limit_is_refused(app, site, people):
    logged_in = client(site, people[Role.ADMIN], app=app)
    for path in ("/api/votes", "/api/skips"):
        assert logged_in.post(path, content=b" " * (2**20 + 1)).status_code == 413
    unsaid = logged_in.post(
        "/api/votes", content=(b" " * 2**18 for _ in range(8)), headers={"content-type": "application/json"}
    )
    assert unsaid.status_code in {400, 413}


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "0x10"])
def test_a_false_length_is_refused(app, site, people, length):
    answer = client(site, people[Role.ADMIN], app=app).post("/api/votes", headers={"content-length": length})
    assert answer.status_code == 400


def test_no_template_has_script_or_style_of_its_own():
    """The policy forbids them, so that they would not work; nor does any file ask another host."""
    pages = sorted((HERE / "templates").rglob("*.html"))
    assert pages
    for page in pages:
        text = page.read_text("utf-8")
        assert not re.search(r"\sstyle\s*=", text), page.name
        assert not re.search(r"\son[a-z]+=[\"'{]", text), page.name
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), page.name
        assert "|safe" not in text, page.name
    for file in [*pages, *sorted((HERE / "static").iterdir())]:
        asked = re.findall(r"https?://[^\s\"'`)<]+", file.read_text("utf-8"))
        assert not [url for url in asked if not url.startswith(("http://www.w3.org/", "https://votes.example.org"))], (
            file.name
        )


def test_nothing_becomes_html_in_scripts_but_what_the_server_cleaned():
    for file in sorted((HERE / "static").glob("*.js")):
        text = file.read_text("utf-8")
        assert not re.search(r"\beval\(|new Function|document\.write|outerHTML\s*=|insertAdjacentHTML", text), file.name
        if file.name not in TRUSTS_THE_SERVER:
            assert "innerHTML" not in text, file.name


#: Scripts that put HTML into a page which the server rendered: sanitised Markdown, pieces of its own templates.
TRUSTS_THE_SERVER: frozenset[str] = frozenset({"text.js"})


@pytest.mark.parametrize(
    "url", ["votes.example.org", "ftp://x", "https://x/path", "https://u:p@x", "https://", "https://x?q=1"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="not an address"):
        Addresses.of([url])


def test_no_page_is_kept_by_anybody_but_static_files_are(app, site, people):
    logged_in = client(site, people[Role.ADMIN], app=app)
    assert logged_in.get("/").headers["cache-control"] == "no-store"
    assert "immutable" in logged_in.get("/static/app.css").headers["cache-control"]
    assert logged_in.get("/static/..%2fapp.py").status_code == 404
    assert logged_in.get("/static/%2e%2e/app.py").status_code == 404


def test_nothing_of_the_source_is_served(app, site, people):
    logged_in = client(site, people[Role.ADMIN], app=app)
    assert logged_in.get("/static/app.py").status_code == 404
    assert (Path(HERE) / "app.py").is_file()
