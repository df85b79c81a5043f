"""The page on the votes of a campaign or of everything, on both databases and in a browser."""

import time

import pytest

from accord.feedback import Form, Role
from accord.store import Store
from accord.web import surveys
from accord.web.surveys import Surveys, survey_of
from crowds import nouns, voted
from web_kit import campaign, client, make_site, serious, served, tab, user

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def site(database_url):
    with Store.open(database_url) as store:
        store.add(nouns(*voted(pairs=40, each=20)))
        yield make_site(store, team=True)


def made(surveys, name=""):
    until = time.monotonic() + 120
    while (look := surveys.of(name)).making:
        assert time.monotonic() < until
        time.sleep(0.05)
    return look


def test_a_survey_is_made_beside_the_server_and_kept(site):
    curator = client(site, user(site, "cora", Role.CURATOR))
    assert curator.get("/api/quality").json() == {"found": None, "at": None, "making": True, "wrong": ""}
    assert "Looking through the votes" in curator.get("/quality").text
    look = made(site.surveys)
    found = curator.get("/api/quality").json()
    assert not found["making"]
    assert found["found"]["votes"] == 400
    assert found["found"] == survey_of(site.store.url, "")
    page = curator.get("/quality").text
    assert "400 votes on 40 pairs by 20 annotators, all of them simulated." in page
    assert "People have two tastes, not one" in page
    assert site.surveys.of("").at == look.at, "nothing is made again unasked"
    assert curator.post("/quality").headers["location"] == "/quality"
    assert site.surveys.of("").making
    assert site.surveys.of("").found, "the last one is shown meanwhile"
    assert made(site.surveys).at > look.at


def test_a_campaign_has_a_survey_of_its_own(site):
    name = campaign(site, Form.PAIR).id
    curator = client(site, user(site, "cora", Role.CURATOR))
    assert f'href="/quality?campaign={name}"' in curator.get(f"/campaigns/{name}").text
    assert curator.get(f"/quality?campaign={name}").status_code == 200
    assert made(site.surveys, name).found is None
    assert "Nobody has compared any answers yet" in curator.get(f"/quality?campaign={name}").text
    assert curator.get("/quality?campaign=none").status_code == 404
    assert curator.post("/quality?campaign=none").status_code == 404
    assert curator.get("/api/quality?campaign=none").status_code == 404


def test_annotators_do_not_see_what_is_said_of_others(site):
    anna = client(site, user(site, "anna"))
    assert [anna.get("/quality").status_code, anna.post("/quality").status_code] == [403, 403]
    assert anna.get("/api/quality").status_code == 403


def test_what_went_wrong_is_told(tmp_path):
    (tmp_path / "no.db").write_text("this is no database, whatever its name says")
    look = made(Surveys(str(tmp_path / "no.db")))
    assert look.found is None
    assert "no.db" in look.wrong


def test_a_survey_that_fails_leaves_the_last_one(site, monkeypatch):
    last = made(site.surveys)

    def broken(url, campaign):
        raise OSError("no process can be made")

    monkeypatch.setattr(surveys, "_apart", broken)
    site.surveys.of("", again=True)
    look = made(site.surveys)
    assert look.wrong == "no process can be made"
    assert (look.found, look.at) == (last.found, last.at)
    page = client(site, user(site, "cora", Role.CURATOR)).get("/quality").text
    assert "no process can be made" in page
    assert "400 votes on 40 pairs" in page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_in_a_browser(chromium, tmp_path, scheme):
    with Store.open(tmp_path / "accord.db") as store:
        store.add(nouns(*voted(pairs=40, each=20)))
        site = make_site(store, runs=tmp_path)
        with served(site) as address, tab(chromium, address, site, site.local, color_scheme=scheme, **PHONE) as page:
            page.goto("/quality")
            assert "Looking through" in page.locator("[role=status]").inner_text()
            page.wait_for_selector("#votes-agree", timeout=120_000)  # it looks by itself until it is there
            assert serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            page.get_by_role("button", name="Look again").click()
            assert "Looking through" in page.locator("[role=status]").inner_text()
            made(site.surveys)
