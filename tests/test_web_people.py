"""The ways in: one person's address, a team's accounts, invitations, passwords, tokens; and that there is no other."""

import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import argon2
import pytest
from sqlalchemy import text

from accord.feedback import AccordError, Role
from accord.store import Store
from accord.store.people import folded
from accord.web.accounts import passwords
from accord.web.accounts.names import name_of
from accord.web.accounts.session_cookie import cookie_name
from accord.web.accounts.throttle import FORGOTTEN, LONGEST, PER_ADDRESS, PER_NAME, Throttle
from accord.web.app import create_app
from accord.web.identity import csrf_token
from accord.web.security import Addresses
from web_kit import ORIGIN, client, make_site, user

GOOD, OTHER = "four plain words here", "another four plain words"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch):
    """Argon2 as ever, but for its effort."""
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: quick)
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


@pytest.fixture
def site(database_url):
    with Store.open(database_url) as store:
        yield make_site(store, team=True, throttle=Throttle(Clock()))


@pytest.fixture
def alone(database_url):
    with Store.open(database_url) as store:
        yield make_site(store)


def member(site, name, role=Role.ANNOTATOR, password=GOOD):
    return site.people.create(name, role, passwords.chosen(password, name))


def log_in(browser, name, password=GOOD, **more):
    return browser.post("/login", data={"name": name, "password": password, **more})


def with_csrf(site, browser):
    """The same browser, as one whose page sends its CSRF token."""
    browser.headers["x-csrf-token"] = csrf_token(browser.cookies.get(site.cookie))
    return browser


def logged_in(site, app, name, password=GOOD):
    browser = client(site, app=app)
    assert log_in(browser, name, password).status_code == 303
    return with_csrf(site, browser)


def come_with(browser, site, secret):
    """The cookie of a session, as if this server had set it."""
    browser.cookies.clear()
    browser.cookies.set(site.cookie, secret, domain="127.0.0.1", path="/")


def is_in(browser):
    return browser.get("/api/me").status_code == 200


def link_in(page):
    """What a page shows to be copied."""
    return re.search(r'value="http[^"]*(/(?:join|reset)\?token=[\w-]+)"', page.text).group(1)


# One person


def test_the_printed_address_opens_once(alone):
    app = create_app(alone)
    door = f"/enter?token={alone.entrance.secret}"
    first, second = client(alone, app=app), client(alone, app=app)
    assert first.get(door).headers["location"] == "/"
    assert first.get("/").status_code == 200
    assert first.get(door).headers["location"] == "/"  # the browser that was let in may open it again
    refused = second.get(door)
    assert refused.status_code == 403
    assert "This address has been used" in refused.text
    assert second.get("/").headers["location"] == "/login"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", {}),
        ("GET", {"sec-purpose": "prefetch;prerender"}),
        ("GET", {"purpose": "prefetch"}),
        ("GET", {"x-moz": "prefetch"}),
        ("GET", {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}),
    ],
)
def test_looking_ahead_does_not_use_the_address_up(alone, method, headers):
    app = create_app(alone)
    door = f"/enter?token={alone.entrance.secret}"
    ahead = client(alone, app=app)
    assert ahead.request(method, door, headers=headers).status_code >= 400
    assert not ahead.cookies
    assert client(alone, app=app).get(door, headers={"sec-fetch-mode": "navigate"}).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "é", "\0", "a" * 10_000])
def test_no_other_token_opens(alone, token):
    browser = client(alone)
    assert browser.get("/enter", params={"token": token}).status_code == 403
    assert not is_in(browser)


def test_a_session_survives_a_restart(database_url):
    with Store.open(database_url) as store:
        site = make_site(store)
        browser = client(site)
        browser.get(f"/enter?token={site.entrance.secret}")
        secret = browser.cookies.get(site.cookie)
    with Store.open(database_url) as store:
        again = make_site(store)
        browser = client(again)
        browser.cookies.set(again.cookie, secret)
        assert browser.get("/").status_code == 200


def test_servers_on_two_ports_keep_their_sessions_apart():
    assert cookie_name("http://127.0.0.1:8765", False) != cookie_name("http://127.0.0.1:8766", False)
    assert cookie_name("https://votes.example.org", True) == "__Host-accord"


@pytest.mark.parametrize("path", ["/people", "/join?token=x", "/setup?token=x", "/reset?token=x", "/api/people"])
def test_one_person_has_no_team(alone, path):
    assert client(alone, alone.local).get(path).status_code == 404


def test_one_person_cannot_log_in_by_password(alone):
    assert client(alone).post("/login", data={"name": "me", "password": ""}).status_code == 404


def test_the_person_at_the_machine_is_nobody_on_a_team_server(database_url):
    with Store.open(database_url) as store:
        alone = make_site(store)
        session = alone.people.open_session(alone.local.id)
        token = alone.people.open_session(alone.local.id, name="script")
        site = make_site(store, team=True)
        app = create_app(site)
        browser = client(site, app=app)
        browser.cookies.set(site.cookie, session)
        assert not is_in(browser)
        assert client(site, app=app).get("/api/me", headers={"authorization": f"Bearer {token}"}).status_code == 401
        assert not site.people.has_admin()


# The first administrator


def test_setup_makes_the_first_administrator_once(site):
    app = create_app(site)
    token = site.entrance.secret
    browser, late = client(site, app=app), client(site, app=app)
    assert "Nobody has an account yet" in browser.get("/login").text
    assert browser.get(f"/setup?token={token}").status_code == 200
    made = browser.post("/setup", data={"token": token, "name": " Ann ", "password": GOOD})
    assert made.headers["location"] == "/people"
    assert browser.get("/api/me").json() | {"id": ""} == {"id": "", "name": "Ann", "role": "admin", "annotator": "Ann"}
    again = late.post("/setup", data={"token": token, "name": "Eve", "password": GOOD})
    assert again.status_code == 410
    assert "There is an administrator already" in late.get(f"/setup?token={token}").text
    assert [person.name for person in site.people.all()] == ["Ann"]


def test_setup_wants_the_printed_token(site):
    browser = client(site)
    for token in ("", "x", site.entrance.secret + "x"):
        assert browser.get("/setup", params={"token": token}).status_code == 410
        assert browser.post("/setup", data={"token": token, "name": "Eve", "password": GOOD}).status_code == 410
    assert site.people.all() == []


def test_a_slip_does_not_use_the_setup_up(site):
    browser = client(site)
    token = site.entrance.secret
    short = browser.post("/setup", data={"token": token, "name": "Ann", "password": "short"})
    assert short.status_code == 422
    assert 'value="Ann"' in short.text
    assert "short" not in short.text.replace("shorter", "")
    assert browser.post("/setup", data={"token": token, "name": "Ann", "password": GOOD}).status_code == 303


def test_two_setups_at_once_make_one_administrator(site):
    app = create_app(site)

    def attempt(name):
        data = {"token": site.entrance.secret, "name": name, "password": GOOD}
        return client(site, app=app).post("/setup", data=data).status_code

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(attempt, ("Ann", "Ben", "Cem", "Dee")))
    assert statuses == [303, 410, 410, 410]
    assert len(site.people.all()) == 1


def test_who_was_alone_takes_their_votes_along_into_the_team(database_url):
    with Store.open(database_url) as store:
        alone = make_site(store)
        session = alone.people.open_session(alone.local.id)
        site = make_site(store, team=True)
        browser = client(site)
        data = {"token": site.entrance.secret, "name": "Me", "password": GOOD}
        assert browser.post("/setup", data=data).status_code == 303
        (ann,) = site.people.all()
        assert (ann.id, ann.name, ann.annotator_id, ann.local) == (alone.local.id, "Me", "me", False)
        assert site.people.who(session, api=False) is None
        assert site.people.local("me").name == "me-2"  # alone once more, one is somebody else


# Names and passwords


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Ann  ", "Ann"),
        ("Ann\u00a0Lee", "Ann Lee"),
        ("A   B", "A B"),
        ("山田\u3000太郎", "山田 太郎"),
        ("e\u0301", "é"),
        ("x" * 40, "x" * 40),
    ],
)
def test_a_name_is_trimmed(given, kept):
    assert name_of(given) == kept


@pytest.mark.parametrize("given", ["", "   ", "x" * 41, "A\0", "A\nB", "A\u202eB", "A\u2067", "A\u200bB", "\ud800"])
def test_a_name_cannot_deceive(given):
    with pytest.raises(AccordError):
        name_of(given)


def test_upper_and_lower_case_are_one_name(site):
    member(site, "Ann")
    for name in ("ann", "ANN", "\uff21nn", "A\u200dnn".replace("\u200d", "")):
        with pytest.raises(AccordError, match="somebody has that name already"):
            member(site, name)
    member(site, "Straße")
    with pytest.raises(AccordError, match="somebody has that name"):
        member(site, "STRASSE")
    assert site.people.password("aNN")[0].name == "Ann"


def test_two_at_once_cannot_have_one_name(site):
    def attempt(name):
        try:
            return site.people.create(name, Role.ANNOTATOR, None)
        except AccordError:
            return None

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(attempt, ("Ann", "ann", "ANN", "aNn")))
    assert len([user for user in made if user]) == 1


def test_votes_of_an_account_keep_apart_from_imported_ones(site):
    from accord.feedback import Annotator

    site.store.add([Annotator("Ann"), Annotator("Ann-2")])
    assert member(site, "Ann").annotator_id == "Ann-3"


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "ninechars",
        "password123",
        "PASSWORD123",
        "1234567890",
        "Annabelle",
        "annabelle1",
        "ANNABELLE 2026!",
        "x" * 1_001,
    ],
)
def test_a_password_that_others_would_try_is_refused(password):
    with pytest.raises(AccordError):
        passwords.chosen(password, "Annabelle")


@pytest.mark.parametrize(
    "password", ["          x         ", "ééééééééééé", "correct horse", "aaaaaaaaab", "0" * 11, "x" * 1_000]
)
def test_any_other_will_do(password):
    kept = passwords.chosen(password, "Ann")
    assert kept.startswith("$argon2id$")
    assert passwords.fits(password, kept)
    assert not passwords.fits(password + "x", kept)


def test_a_password_is_the_same_from_every_keyboard():
    assert passwords.fits("cafe\u0301 cafe\u0301 caf\u00e9", passwords.chosen("caf\u00e9 caf\u00e9 cafe\u0301", "Ann"))


def test_the_commonest_are_long_enough_to_be_met():
    assert all(len(word) >= passwords.FEWEST and word == word.casefold() for word in passwords.commonest())


# Logging in


def test_log_in_and_out(site):
    member(site, "Ann")
    app = create_app(site)
    browser = client(site, app=app)
    assert log_in(browser, "ann ").headers["location"] == "/"
    secret = browser.cookies.get(site.cookie)
    with_csrf(site, browser)
    assert browser.get("/login").headers["location"] == "/"
    assert browser.post("/logout").headers["location"] == "/login"
    assert not is_in(browser)
    come_with(browser, site, secret)
    assert not is_in(browser)


def test_the_cookie_is_for_this_server_alone(site):
    member(site, "Ann")
    told = log_in(client(site), "Ann").headers["set-cookie"]
    assert "HttpOnly" in told
    assert "SameSite=lax" in told
    assert "Path=/" in told
    assert "Domain" not in told
    assert "Secure" not in told  # http://127.0.0.1


def test_over_https_the_cookie_is_a_host_cookie(database_url):
    with Store.open(database_url) as store:
        site = make_site(store, team=True, origin="https://votes.example.org", cookie="__Host-accord")
        member(site, "Ann")
        told = log_in(client(site), "Ann").headers["set-cookie"]
    assert told.startswith("__Host-accord=")
    assert "Secure" in told
    assert "Path=/;" in told
    assert "Domain" not in told


def test_wrong_name_and_wrong_password_look_alike(site):
    member(site, "Ann")
    app = create_app(site)
    wrong = log_in(client(site, app=app), "Ann", OTHER)
    unknown = log_in(client(site, app=app), "Bob", OTHER)
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace("Ann", "Bob") == unknown.text
    assert not wrong.cookies


def test_an_unknown_name_takes_as_long(site, monkeypatch):
    """Each try is one verification, of somebody's hash or of nobody's."""
    member(site, "Ann")
    site.people.create("Without", Role.ANNOTATOR, None)
    verified = []

    class Counting:
        def __getattr__(self, name):
            return getattr(quick, name)

        def verify(self, kept, given):
            verified.append(kept)
            return quick.verify(kept, given)

    quick = passwords._hasher()
    monkeypatch.setattr(passwords, "_hasher", Counting)
    browser = client(site)
    for name in ("Ann", "Bob", "Without"):
        log_in(browser, name, OTHER)
    assert len(verified) == 3
    assert verified[1] == verified[2] != verified[0]


@pytest.mark.parametrize("name", ["", "\0", "\ud800x", "x" * 5_000, "' OR 1=1 --", "%"])
def test_no_name_breaks_the_login(site, name):
    member(site, "Ann")
    assert log_in(client(site), name.encode("utf-8", "replace").decode()).status_code == 401


def test_nobody_without_a_password_logs_in(site):
    user(site, "Ann")
    for password in ("", "None", GOOD):
        assert log_in(client(site), "Ann", password).status_code == 401


def test_a_login_makes_a_new_session(site):
    """Session fixation: whatever cookie a browser came with, another counts afterwards, and that one no more."""
    ann, eve = member(site, "Ann"), member(site, "Eve")
    app = create_app(site)
    planted = site.people.open_session(eve.id)
    browser = client(site, app=app)
    come_with(browser, site, planted)
    assert browser.get("/api/me").json()["name"] == "Eve"
    assert log_in(browser, "Ann").status_code == 303
    assert browser.cookies.get(site.cookie) != planted
    assert browser.get("/api/me").json()["id"] == ann.id
    come_with(browser, site, planted)
    assert not is_in(browser)


@pytest.mark.parametrize("forged", ["", "x", "admin", "é", "0" * 64, "a" * 5_000, "' OR 1=1 --"])
def test_a_forged_cookie_is_nobodys(site, forged):
    ann = member(site, "Ann", Role.ADMIN)
    secret = site.people.open_session(ann.id)
    app = create_app(site)
    for value in (forged, secret[:-1], secret + "x", secret.swapcase(), ann.id, ann.name):
        browser = client(site, app=app)
        answer = browser.get("/api/me", headers={"cookie": f"{site.cookie}={value}".encode()})
        assert answer.status_code == 401
    with site.store.reading() as connection:
        (kept,) = connection.execute(text("SELECT hash FROM sessions")).scalars()
    browser = client(site, app=app)
    browser.cookies.set(site.cookie, kept)  # who can read the database cannot come in with what is there
    assert not is_in(browser)


def test_after_the_login_one_is_where_one_wanted_to_go(site):
    member(site, "Ann")
    browser = client(site)
    sent = browser.get("/vote/c-1?x=1&y=2")
    assert sent.headers["location"] == "/login?next=/vote/c-1%3Fx%3D1%26y%3D2"
    assert 'value="/vote/c-1?x=1&amp;y=2"' in browser.get(sent.headers["location"]).text
    assert log_in(browser, "Ann", next="/vote/c-1?x=1&y=2").headers["location"] == "/vote/c-1?x=1&y=2"


@pytest.mark.parametrize(
    "next",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "\\\\evil",
        "/\r\nx: y",
        "evil",
        "/\t/evil.example",
    ],
)
def test_a_login_leads_to_no_other_site(site, next):
    member(site, "Ann")
    assert log_in(client(site), "Ann", next=next).headers["location"] == "/"


def test_a_login_from_another_site_is_refused(site):
    member(site, "Ann")
    browser = client(site)
    browser.headers["origin"] = "https://evil.example"
    assert log_in(browser, "Ann").status_code == 403


def test_a_hash_of_old_parameters_is_renewed(site, monkeypatch):
    ann = member(site, "Ann")
    before = site.people.password("Ann")[1]
    token = site.people.open_session(ann.id)
    costlier = argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: costlier)
    browser = client(site)
    assert log_in(browser, "Ann").status_code == 303
    after = site.people.password("Ann")[1]
    assert "m=16,t=2" in after
    assert after != before
    assert site.people.who(token, api=False) is not None  # nobody is logged out by it
    assert log_in(browser, "Ann").status_code == 303
    assert site.people.password("Ann")[1] == after


def test_a_password_changed_during_a_login_wins(site):
    ann = member(site, "Ann")
    checked = site.people.password("Ann")[1]
    site.people.set_password(ann.id, passwords.chosen(OTHER, "Ann"))
    assert site.people.log_in(ann.id, checked) is None


# Throttling


def test_guessing_a_password_takes_ever_longer(site):
    member(site, "Ann")
    clock = site.throttle.clock
    browser = client(site)
    assert [log_in(browser, "Ann", OTHER).status_code for _ in range(PER_NAME)] == [401] * PER_NAME
    waits = []
    for _ in range(10):
        refused = log_in(browser, "ANN", GOOD)  # even the right one
        assert refused.status_code == 429
        waits.append(int(refused.headers["retry-after"]))
        assert "Too many tries. Try again in " in refused.text
        clock.now += waits[-1]
        assert log_in(browser, "Ann", OTHER).status_code == 401
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    clock.now += LONGEST
    assert log_in(browser, "Ann").status_code == 303
    assert log_in(browser, "Ann", OTHER).status_code == 401  # and the count begins anew


def test_others_are_not_slowed_down_by_guesses_at_one_name(site):
    member(site, "Ann")
    member(site, "Ben")
    browser = client(site)
    for _ in range(PER_NAME):
        log_in(browser, "Ann", OTHER)
    assert log_in(browser, "Ann").status_code == 429
    assert log_in(browser, "Ben").status_code == 303


def test_names_that_are_not_there_are_slowed_down_alike(site):
    browser = client(site)
    for _ in range(PER_NAME):
        assert log_in(browser, "Nobody").status_code == 401
    assert log_in(browser, "Nobody").status_code == 429


def test_one_address_cannot_try_every_name(site):
    member(site, "Ann")
    browser = client(site)
    for i in range(PER_ADDRESS):
        assert log_in(browser, f"name {i}").status_code == 401
    refused = log_in(browser, "Ann")
    assert refused.status_code == 429
    site.throttle.clock.now += 2
    assert log_in(browser, "Ann").status_code == 303


def test_an_address_that_gets_in_does_not_begin_anew(site):
    member(site, "Mallory")
    browser = client(site)
    for i in range(PER_ADDRESS - 1):
        log_in(browser, f"name {i}")
    assert log_in(browser, "Mallory").status_code == 303
    assert log_in(browser, "one more").status_code == 401
    assert log_in(browser, "and one").status_code == 429


def test_many_at_once_are_not_many_free_tries():
    throttle = Throttle(Clock())
    begun = [throttle.begin({"name ann": PER_NAME}) for _ in range(50)]
    assert begun.count(0.0) == PER_NAME


def test_failures_are_forgotten_in_time_and_in_number(monkeypatch):
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(PER_NAME):
        throttle.begin({"a": PER_NAME})
    clock.now += FORGOTTEN
    assert [throttle.begin({"a": PER_NAME}) for _ in range(PER_NAME)] == [0.0] * PER_NAME
    monkeypatch.setattr("accord.web.accounts.throttle.MOST_KEYS", 10)
    for i in range(100):
        throttle.begin({f"b{i}": PER_NAME})
    assert len(throttle._failed) == 10


@pytest.mark.parametrize(
    ("trusted", "forwarded", "counted"),
    [
        (False, ["6.6.6.6"], "address testclient"),
        (True, ["6.6.6.6, 10.0.0.7"], "address 10.0.0.7"),
        (True, ["6.6.6.6", "10.0.0.7"], "address 10.0.0.7"),
        (True, ["10.0.0.7, nonsense"], "address testclient"),
        (True, [], "address testclient"),
        (True, ["2001:db8:1:2:3:4:5:6"], "address 2001:db8:1:2::"),
        (True, ["::ffff:10.0.0.7"], "address 10.0.0.7"),
    ],
)
def test_where_a_try_comes_from(site, trusted, forwarded, counted):
    site.behind_proxy = trusted
    browser = client(site)
    headers = [("x-forwarded-for", value) for value in forwarded]
    browser.post("/login", data={"name": "Ann", "password": OTHER}, headers=[*browser.headers.items(), *headers])
    assert counted in site.throttle._failed


# Invitations


def test_an_invitation_makes_an_account(site):
    admin = member(site, "Ann", Role.ADMIN)
    app = create_app(site)
    page = client(site, admin, app=app).post(
        "/people/invites", data={"role": "curator", "note": "for Ben", "days": "7", "uses": "1"}
    )
    link = link_in(page)
    guest = client(site, app=app)
    assert "as a curator" in guest.get(link).text
    assert guest.get(link).status_code == 200  # looking at it uses nothing up
    token = link.partition("=")[2]
    joined = guest.post("/join", data={"token": token, "name": "Ben", "password": GOOD})
    assert joined.headers["location"] == "/"
    assert guest.get("/api/me").json()["role"] == "curator"
    other = client(site, app=app)
    assert other.get(link).status_code == 410
    assert other.post("/join", data={"token": token, "name": "Eve", "password": GOOD}).status_code == 410
    assert "This invitation has ended" in other.get(link).text
    assert site.invites.all() == []


def test_an_invitation_counts_its_uses(site):
    token = site.invites.create(Role.ANNOTATOR, "Ann", uses=2)
    app = create_app(site)
    statuses = [
        client(site, app=app).post("/join", data={"token": token, "name": name, "password": GOOD}).status_code
        for name in ("Ben", "Cem", "Dee")
    ]
    assert statuses == [303, 303, 410]


def test_a_slip_does_not_use_an_invitation_up(site):
    member(site, "Ann")
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    browser = client(site)
    for name, password, said in [
        ("Ben", "short", "10 characters or more"),
        ("Ben", "Benjamin Ben", None),
        ("ann", OTHER, "somebody has that name already"),
        ("\u202eBen", OTHER, "cannot hold characters that are not seen"),
        ("", OTHER, "has 1 to 40 characters"),
    ]:
        if said is None:
            continue
        answer = browser.post("/join", data={"token": token, "name": name, "password": password})
        assert answer.status_code == 422
        assert said in answer.text
        assert password not in answer.text
    assert browser.post("/join", data={"token": token, "name": "Ben", "password": OTHER}).status_code == 303


def test_an_invitation_ends(site):
    token = site.invites.create(Role.ADMIN, "Ann", days=1)
    with site.store.writing() as connection:
        connection.execute(
            text("UPDATE invites SET expires = :at"),
            {"at": _in_database(site, datetime.now(UTC) - timedelta(seconds=1))},
        )
    assert client(site).get(f"/join?token={token}").status_code == 410
    assert client(site).post("/join", data={"token": token, "name": "Eve", "password": GOOD}).status_code == 410
    assert site.people.all() == []


def _in_database(site, at):
    return at.strftime("%Y-%m-%d %H:%M:%S.%f") if "sqlite" in str(site.store._engine.url) else at


def test_an_invitation_can_be_taken_back(site):
    admin = member(site, "Ann", Role.ADMIN)
    app = create_app(site)
    browser = client(site, admin, app=app)
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    (invite,) = site.invites.all()
    assert browser.post(f"/people/invites/{invite.id}/revoke").status_code == 303
    assert browser.post(f"/people/invites/{invite.id}/revoke").status_code == 404
    assert client(site, app=app).get(f"/join?token={token}").status_code == 410


def test_of_two_at_once_one_invitation_takes_one(site):
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    app = create_app(site)
    ready = threading.Barrier(2)

    def attempt(name):
        browser = client(site, app=app)
        ready.wait()
        return browser.post("/join", data={"token": token, "name": name, "password": GOOD}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(attempt, ("Ben", "Cem"))) == [303, 410]
    assert len(site.people.all()) == 1


def test_who_joins_while_logged_in_changes_over(site):
    member(site, "Ann")
    browser = logged_in(site, create_app(site), "Ann")
    before = browser.cookies.get(site.cookie)
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    assert "You are logged in as" in browser.get(f"/join?token={token}").text
    assert browser.post("/join", data={"token": token, "name": "Ben", "password": GOOD}).status_code == 303
    assert browser.get("/api/me").json()["name"] == "Ben"
    assert site.people.who(before, api=False) is None


def test_curators_invite_annotators_alone(site):
    curator = member(site, "Cem", Role.CURATOR)
    browser = client(site, curator)
    for role in ("curator", "admin"):
        assert browser.post("/people/invites", data={"role": role}).status_code == 403
        assert browser.post("/api/invites", json={"role": role}).status_code == 403
    assert browser.post("/people/invites", data={"role": "annotator"}).status_code == 200
    assert browser.post("/api/invites", json={}).status_code == 201
    assert {invite.role for invite in site.invites.all()} == {Role.ANNOTATOR}


def test_curators_see_and_end_their_own_invitations(site):
    member(site, "Ann", Role.ADMIN)
    curator = member(site, "Cem", Role.CURATOR)
    site.invites.create(Role.ADMIN, "Ann", note="of Ann's")
    (of_ann,) = site.invites.all()
    browser = client(site, curator)
    page = browser.get("/people")
    assert "of Ann&#39;s" not in page.text
    assert "Accounts" not in page.text
    assert browser.get("/api/invites").json() == []
    assert browser.post(f"/people/invites/{of_ann.id}/revoke").status_code == 404
    assert browser.delete(f"/api/invites/{of_ann.id}").status_code == 404
    assert len(site.invites.all()) == 1


@pytest.mark.parametrize("change", [{"role": Role.ANNOTATOR}, {"active": False}])
def test_who_may_do_less_lets_nobody_in_any_more(site, change):
    member(site, "Ann", Role.ADMIN)
    ben = member(site, "Ben", Role.ADMIN)
    token = site.invites.create(Role.ADMIN, "Ben")
    kept = site.invites.create(Role.ADMIN, "Ann")
    site.people.change(ben.id, **change)
    assert site.invites.of(token) is None
    assert site.invites.of(kept) is not None


@pytest.mark.parametrize(
    "wish",
    [
        {"days": 0},
        {"days": 91},
        {"uses": 0},
        {"uses": 1_001},
        {"role": "god"},
        {"note": "x" * 201},
        {"days": "nan"},
        {"extra": 1},
    ],
)
def test_an_invitation_has_its_limits(site, wish):
    admin = member(site, "Ann", Role.ADMIN)
    assert client(site, admin).post("/api/invites", json=wish).status_code == 422
    assert site.invites.all() == []


# Forgotten passwords


def test_a_reset_link_gives_a_new_password_once(site):
    admin, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben")
    app = create_app(site)
    ben_elsewhere = logged_in(site, app, "Ben")
    token_of_ben = site.people.open_session(ben.id, name="script")
    link = link_in(client(site, admin, app=app).post(f"/people/{ben.id}/reset"))
    token = link.partition("=")[2]
    browser = client(site, app=app)
    assert 'value="Ben"' in browser.get(link).text
    assert browser.post("/reset", data={"token": token, "password": "short"}).status_code == 422
    assert browser.post("/reset", data={"token": token, "password": OTHER}).status_code == 303
    assert browser.get("/api/me").json()["name"] == "Ben"
    assert not is_in(ben_elsewhere)
    assert site.people.who(token_of_ben, api=True) is None
    assert client(site, app=app).post("/reset", data={"token": token, "password": GOOD}).status_code == 410
    assert log_in(client(site, app=app), "Ben", GOOD).status_code == 401
    assert log_in(client(site, app=app), "Ben", OTHER).status_code == 303


def test_a_reset_link_is_no_invitation_and_no_session(site):
    ann = member(site, "Ann", Role.ADMIN)
    token = site.invites.reset_link(ann.id, "Ann")
    app = create_app(site)
    browser = client(site, app=app)
    assert browser.post("/join", data={"token": token, "name": "Eve", "password": GOOD}).status_code == 410
    assert site.invites.all() == []
    invitation = site.invites.create(Role.ADMIN, "Ann")
    assert browser.post("/reset", data={"token": invitation, "password": OTHER}).status_code == 410
    for secret in (token, invitation):
        assert site.people.who(secret, api=False) is None
        assert site.people.who(secret, api=True) is None


def test_a_second_reset_link_ends_the_first(site):
    ann = member(site, "Ann")
    first, second = site.invites.reset_link(ann.id, "x"), site.invites.reset_link(ann.id, "x")
    assert site.invites.reset_for(first) is None
    assert site.invites.reset_for(second) == ann


def test_no_reset_for_who_is_deactivated_or_not_there(site):
    member(site, "Ann", Role.ADMIN)
    ben = member(site, "Ben")
    token = site.invites.reset_link(ben.id, "Ann")
    site.people.change(ben.id, active=False)
    assert site.invites.reset_for(token) is None
    with pytest.raises(KeyError):
        site.invites.reset_link(ben.id, "Ann")
    admin = client(site, site.people.password("Ann")[0])
    assert admin.post("/people/nobody/reset").status_code == 404


# Accounts


def test_who_is_deactivated_is_out_at_once(site):
    admin, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben")
    app = create_app(site)
    browser = logged_in(site, app, "Ben")
    token = site.people.open_session(ben.id, name="script")
    script = client(site, app=app)
    script.headers["authorization"] = f"Bearer {token}"
    assert is_in(browser)
    assert is_in(script)
    assert client(site, admin, app=app).post(f"/people/{ben.id}/deactivate").status_code == 303
    assert not is_in(browser)
    assert not is_in(script)
    assert log_in(client(site, app=app), "Ben").status_code == 401
    assert client(site, admin, app=app).post(f"/people/{ben.id}/reactivate").status_code == 303
    assert not is_in(browser)  # what was ended stays so
    assert log_in(client(site, app=app), "Ben").status_code == 303


def test_a_role_holds_at_once(site):
    admin, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben")
    app = create_app(site)
    browser = logged_in(site, app, "Ben")
    assert browser.get("/people").status_code == 403
    client(site, admin, app=app).post(f"/people/{ben.id}/role", data={"role": "curator"})
    assert browser.get("/people").status_code == 200


@pytest.mark.parametrize("change", [{"role": "annotator"}, {"active": False}])
def test_somebody_stays_administrator(site, change):
    admin = member(site, "Ann", Role.ADMIN)
    browser = client(site, admin)
    assert browser.patch(f"/api/people/{admin.id}", json=change).status_code == 400
    assert site.people.get(admin.id) == admin


def test_two_administrators_cannot_remove_each_other(site):
    ann, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben", Role.ADMIN)
    ready = threading.Barrier(2)

    def remove(one):
        ready.wait()
        try:
            site.people.change(one.id, role=Role.ANNOTATOR)
        except AccordError:
            return False
        return True

    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            assert sorted(pool.map(remove, (ann, ben))) == [False, True]
        for one in (ann, ben):
            site.people.change(one.id, role=Role.ADMIN)


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.CURATOR])
def test_nobody_raises_themselves(site, role):
    member(site, "Ann", Role.ADMIN)
    eve = member(site, "Eve", role)
    browser = client(site, eve)
    attempts = [
        browser.patch(f"/api/people/{eve.id}", json={"role": "admin"}),
        browser.post(f"/people/{eve.id}/role", data={"role": "admin"}),
        browser.post("/people/invites", data={"role": "admin"}),
        browser.post("/api/invites", json={"role": "admin"}),
        browser.get("/api/people"),
    ]
    attempts += [
        browser.post(f"/people/{other.id}/{what}") for other in site.people.all() for what in ("reset", "deactivate")
    ]
    assert {answer.status_code for answer in attempts} == {403}
    assert site.people.get(eve.id).role is role
    assert site.invites.all() == []


def test_joining_takes_the_role_from_the_invitation_alone(site):
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    browser = client(site)
    browser.post("/join?role=admin", data={"token": token, "name": "Eve", "password": GOOD, "role": "admin"})
    assert browser.get("/api/me").json()["role"] == "annotator"


def test_forms_want_the_page_s_token(site):
    admin, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben")
    browser = client(site, admin)
    del browser.headers["x-csrf-token"]
    for path, data in [
        (f"/people/{ben.id}/role", {"role": "admin"}),
        (f"/people/{ben.id}/deactivate", {}),
        (f"/people/{ben.id}/reset", {}),
        ("/people/invites", {"role": "admin"}),
        ("/account/tokens", {"name": "x"}),
        ("/account/password", {"current": GOOD, "password": OTHER}),
        ("/logout", {}),
        ("/logout/everywhere", {}),
    ]:
        assert browser.post(path, data=data | {"csrf": "x"}).status_code == 403
    assert site.people.get(ben.id) == ben
    assert is_in(browser)
    right = {"csrf": csrf_token(browser.cookies.get(site.cookie)), "role": "curator"}
    assert browser.post(f"/people/{ben.id}/role", data=right).status_code == 303


def test_changing_the_password_ends_other_sessions(site):
    ann = member(site, "Ann")
    app = create_app(site)
    here, elsewhere = logged_in(site, app, "Ann"), logged_in(site, app, "Ann")
    token = site.people.open_session(ann.id, name="script")
    wrong = here.post("/account/password", data={"current": OTHER, "password": OTHER})
    assert wrong.status_code == 422
    assert "That is not your password" in wrong.text
    assert here.post("/account/password", data={"current": GOOD, "password": "short"}).status_code == 422
    assert here.post("/account/password", data={"current": GOOD, "password": OTHER}).status_code == 303
    assert is_in(here)
    assert not is_in(elsewhere)
    assert site.people.who(token, api=True) is None
    assert log_in(client(site, app=app), "Ann", GOOD).status_code == 401
    assert log_in(client(site, app=app), "Ann", OTHER).status_code == 303


def test_who_finds_a_browser_open_cannot_guess_the_password(site):
    member(site, "Ann")
    browser = logged_in(site, create_app(site), "Ann")
    guesses = [
        browser.post("/account/password", data={"current": OTHER, "password": OTHER}).status_code for _ in range(7)
    ]
    assert guesses == [422] * 5 + [429] * 2


def test_log_out_everywhere(site):
    ann = member(site, "Ann")
    app = create_app(site)
    browsers = [logged_in(site, app, "Ann") for _ in range(3)]
    token = site.people.open_session(ann.id, name="script")
    assert browsers[0].post("/logout/everywhere").headers["location"] == "/login"
    assert not any(is_in(browser) for browser in browsers)
    assert site.people.who(token, api=True) == ann


# API tokens


def test_a_token_is_shown_once_and_revoked(site):
    member(site, "Ann", Role.CURATOR)
    app = create_app(site)
    browser = logged_in(site, app, "Ann")
    page = browser.post("/account/tokens", data={"name": "my <script>", "days": ""})
    token = re.search(r'id="token" value="([\w-]{43})"', page.text).group(1)
    assert "my &lt;script&gt;" in page.text
    assert token not in browser.get("/account").text
    script = client(site, app=app)
    script.headers["authorization"] = f"Bearer {token}"
    del script.headers["origin"]
    assert script.get("/api/me").json()["name"] == "Ann"
    assert script.post("/api/invites", json={}).status_code == 201
    (kept,) = site.people.tokens(site.people.password("Ann")[0].id)
    assert kept.expires is None
    assert browser.post(f"/account/tokens/{kept.id}/revoke").status_code == 303
    assert not is_in(script)


def test_a_token_is_no_session_and_a_session_no_token(site):
    ann = member(site, "Ann")
    app = create_app(site)
    token, session = site.people.open_session(ann.id, name="script"), site.people.open_session(ann.id)
    browser = client(site, app=app)
    browser.cookies.set(site.cookie, token)
    assert not is_in(browser)
    assert client(site, app=app).get("/api/me", headers={"authorization": f"Bearer {session}"}).status_code == 401


def test_a_token_makes_no_more_of_itself(site):
    ann = member(site, "Ann", Role.ADMIN)
    script = client(site)
    script.headers["authorization"] = f"Bearer {site.people.open_session(ann.id, name='script', days=1)}"
    assert script.post("/account/tokens", data={"name": "for ever"}).status_code == 403
    assert script.post("/account/password", data={"current": GOOD, "password": OTHER}).status_code == 403


def test_a_token_ends(site):
    ann = member(site, "Ann")
    token = site.people.open_session(ann.id, name="script", days=-1)
    assert client(site).get("/api/me", headers={"authorization": f"Bearer {token}"}).status_code == 401
    assert site.people.tokens(ann.id) == []


def test_tokens_have_names_of_their_own(site):
    member(site, "Ann")
    browser = logged_in(site, create_app(site), "Ann")
    assert browser.post("/account/tokens", data={"name": "a", "days": "30"}).status_code == 200
    for name in ("a", " a ", "", "x" * 61, "a\0b"):
        assert browser.post("/account/tokens", data={"name": name}).status_code == 422


def test_others_tokens_cannot_be_revoked(site):
    ann, eve = member(site, "Ann"), member(site, "Eve", Role.ADMIN)
    site.people.open_session(ann.id, name="script")
    (token,) = site.people.tokens(ann.id)
    browser = client(site, eve)
    for id in (token.id, "", "%", token.id[:5], "_" * 12):
        assert browser.post(f"/account/tokens/{id}/revoke").status_code in (404, 405)
    assert len(site.people.tokens(ann.id)) == 1


# What is told


def test_nothing_tells_a_hash(site):
    admin, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben")
    site.people.open_session(ben.id, name="script")
    site.invites.create(Role.ANNOTATOR, "Ann")
    app = create_app(site)
    browser = client(site, admin, app=app)
    with site.store.reading() as connection:
        secrets = list(
            connection.execute(
                text("SELECT password FROM users UNION SELECT hash FROM sessions UNION SELECT hash FROM invites")
            ).scalars()
        )
    assert len(secrets) >= 5
    for path in ("/people", "/account", "/api/people", "/api/invites", "/api/me", "/api/openapi.json", "/"):
        told = browser.get(path)
        assert told.status_code == 200
        assert not [secret for secret in secrets if secret in told.text], path
        assert "argon2" not in told.text


def test_the_api_knows_people(site):
    admin, ben = member(site, "Ann", Role.ADMIN), member(site, "Ben")
    browser = client(site, admin)
    told = browser.get("/api/people").json()
    assert [(one["name"], one["role"], one["active"], one["answers"]) for one in told] == [
        ("Ann", "admin", True, 0),
        ("Ben", "annotator", True, 0),
    ]
    changed = browser.patch(f"/api/people/{ben.id}", json={"role": "curator", "active": False}).json()
    assert (changed["role"], changed["active"]) == ("curator", False)
    assert browser.patch("/api/people/nobody", json={"role": "admin"}).status_code == 404
    assert browser.patch(f"/api/people/{ben.id}", json={"password": "x"}).status_code == 422
    made = browser.post("/api/invites", json={"role": "curator", "days": 1, "uses": 3, "note": "x"}).json()
    assert made["link"].startswith(f"{ORIGIN}/join?token=")
    (listed,) = browser.get("/api/invites").json()
    assert (listed["role"], listed["uses_left"], listed["note"], listed["by"]) == ("curator", 3, "x", "Ann")
    assert browser.delete(f"/api/invites/{listed['id']}").status_code == 204


def test_a_name_is_shown_as_text(site):
    admin = member(site, "Ann", Role.ADMIN)
    member(site, "<b>Ben</b>\"'")
    page = client(site, admin).get("/people").text
    assert "<b>Ben" not in page
    assert "&lt;b&gt;Ben&lt;/b&gt;" in page


def test_pages_of_links_are_not_kept_or_told_on(site):
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    answer = client(site).get(f"/join?token={token}")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"


# Where people reach it


def test_the_public_address_alone_is_answered(database_url):
    with Store.open(database_url) as store:
        site = make_site(store, team=True, origin="https://votes.example.org")
        admin = member(site, "Ann", Role.ADMIN)
        browser = client(site, admin)
        page = browser.post("/people/invites", data={"role": "annotator"})
        assert 'value="https://votes.example.org/join?token=' in page.text
        for host in ("127.0.0.1:8765", "evil.example", "votes.example.org.evil.example", "votes.example.org:8443"):
            assert browser.get("/login", headers={"host": host}).status_code == 421


def test_addresses_are_read_as_browsers_write_them():
    assert Addresses.of(["https://A.example:443/"]).origins == {"https://a.example"}
    assert Addresses.of(["http://a.example:80", "http://b.example:8080"]).hosts == {"a.example", "b.example:8080"}
    for wrong in ("votes.example.org", "https://a.example/votes", "ftp://a.example", "https://u@a.example", "https://"):
        with pytest.raises(ValueError, match="not an address"):
            Addresses.of([wrong])


def test_names_fold():
    assert folded("Ann") == folded("aNN") == folded("\uff21nn")
    assert folded("İstanbul") != folded("Ankara")


def test_a_team_s_database_file_is_private(tmp_path):
    from accord.store.private import keep_private

    file = tmp_path / "accord.db"
    with Store.open(file) as store:
        store.counts()
        file.chmod(0o644)
        for beside in tmp_path.glob("accord.db-*"):
            beside.chmod(0o644)
        keep_private(str(file))
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    with closing(sqlite3.connect(file)) as connection:  # what SQLite makes anew beside it is private too
        connection.execute("CREATE TABLE x (y)")
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    keep_private("postgresql://nobody@127.0.0.1:1/none")  # a server's own business
