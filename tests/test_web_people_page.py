"""A team's whole way in, by keyboard alone, in a real browser: setup, invitation, joining, login, token, logout."""

import argon2
import pytest

from accord.feedback import Role
from accord.store import Store
from accord.web.accounts import passwords
from web_kit import make_site, press, serious, served, tab, to, write

ANNS, BENS = "four plain words here", "another four plain words"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
#: The height and width of what is pressed, and what it says.
TARGETS = """() => [...document.querySelectorAll("a.button, button, summary, input:not([type=hidden]), select")]
    .filter(one => one.offsetParent && !one.closest(".skip-link"))
    .map(one => [one.getBoundingClientRect().height, one.outerHTML.slice(0, 100)])"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    quick = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", lambda: quick)
    with Store.open(tmp_path / "accord.db") as store:
        yield make_site(store, team=True)


def sound(page):
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_team_s_way_in_by_keyboard(chromium, site):
    with (
        served(site) as address,
        tab(chromium, address, site, None) as ann,
        tab(chromium, address, site, None) as ben,
    ):
        # The first administrator
        ann.goto(f"/setup?token={site.entrance.secret}")
        assert ann.evaluate("document.activeElement.id") == "name"  # one may begin to write
        sound(ann)
        ann.keyboard.type("Ann")
        write(ann, "#password", ANNS)
        ann.keyboard.press("Tab")
        ann.keyboard.press("Space")
        assert ann.get_attribute("#password", "type") == "text"
        ann.keyboard.press("Space")
        assert ann.get_attribute("#password", "type") == "password"
        press(ann, "button.primary")
        assert ann.url == f"{address}/people"

        # An invitation
        to(ann, "#role")
        ann.keyboard.type("cur")
        write(ann, "#note", "for Ben")
        press(ann, ".invite button")
        link = ann.input_value("#link")
        sound(ann)
        to(ann, "[data-copy]")
        ann.keyboard.press("Enter")
        ann.wait_for_selector("text=Copied.", state="attached")

        # Who is invited joins, in another browser
        ben.goto(link)
        sound(ben)
        ben.keyboard.type("ann")
        write(ben, "#password", BENS)
        press(ben, "button.primary")
        assert "somebody has that name already" in ben.inner_text("[role=alert]").lower()
        sound(ben)
        write(ben, "#name", "Ben")
        write(ben, "#password", BENS)
        press(ben, "button.primary")
        assert ben.url == f"{address}/"

        # Out, and in again
        ben.goto("/account")
        press(ben, "form[action='/logout'] button")
        assert ben.url == f"{address}/login"
        write(ben, "#name", "ben")
        write(ben, "#password", "not the right one")
        press(ben, "button.primary")
        assert "wrong" in ben.inner_text("[role=alert]")
        assert ben.evaluate("document.activeElement.id") == "password"
        sound(ben)
        write(ben, "#password", BENS)
        press(ben, "button.primary")
        assert ben.url == f"{address}/"

        # A token
        ben.goto("/account")
        sound(ben)
        write(ben, "#token-name", "nightly")
        press(ben, ".token button")
        token = ben.input_value("#token")
        assert site.people.who(token, api=True).name == "Ben"
        sound(ben)
        press(ben, "[aria-label='Revoke the token nightly']")
        assert "The token has ended." in ben.inner_text("[role=status]")
        assert site.people.who(token, api=True) is None

        # Deactivated: out at once
        ann.goto("/people")
        to(ann, "[aria-label='Manage Ben']")
        ann.keyboard.press("Enter")
        press(ann, "[aria-label='Deactivate Ben']")
        assert "Deactivated" in ann.inner_text("[role=status]")
        sound(ann)
        ben.goto("/account")
        assert ben.url.startswith(f"{address}/login")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(chromium, site, scheme):
    ann = site.people.create("Ann", Role.ADMIN, passwords.chosen(ANNS, "Ann"))
    site.people.create("Someone with a name of forty characters", Role.ANNOTATOR, None)
    site.invites.create(Role.ANNOTATOR, "Ann", note="x" * 200)
    token = site.invites.create(Role.ANNOTATOR, "Ann")
    site.people.open_session(ann.id, name="a token with a name that is as long as such names may well be"[:60])
    with served(site) as address:
        with tab(chromium, address, site, ann, color_scheme=scheme, **PHONE) as page:
            for where in ("/people", "/account"):
                page.goto(where)
                for summary in page.locator("summary").all():
                    summary.tap()
                sound(page)
                assert [said for height, said in page.evaluate(TARGETS) if height < 44] == []
        with tab(chromium, address, site, None, color_scheme=scheme, **PHONE) as page:
            for where in ("/login", f"/join?token={token}", "/join?token=x", "/enter?token=x"):
                page.goto(where)
                sound(page)
                assert [said for height, said in page.evaluate(TARGETS) if height < 44] == []


def test_without_scripts_everything_works(chromium, site):
    with served(site) as address, tab(chromium, address, site, None, java_script_enabled=False) as page:
        page.goto(f"/setup?token={site.entrance.secret}")
        page.fill("#name", "Ann")
        page.fill("#password", ANNS)
        page.click("button.primary")
        page.click(".invite button")
        assert page.input_value("#link").startswith(f"{address}/join?token=")
        assert not page.locator("[data-copy]").is_visible()
