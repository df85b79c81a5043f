"""The Arena's page in a browser: by keyboard alone, on a phone, while answers come, and when something goes wrong."""

import re
import threading

import pytest

from accord.feedback import Choice, Role
from accord.store import Store
from accord.web.arena.conversations import Conversations
from accord.web.arena.worker import Event
from arena_kit import DONE, FIRST, Scripted, both, make_run
from web_kit import make_site, serious, served, tab, user

EVIL = "<img src=x onerror=alert(1)><script>document.title='broken'</script> \u202egnp.exe"
#: Keeps all that the line on how it goes says, in `told`.
FOLLOW = """() => {
  const state = document.getElementById("round-state");
  window.told = [];
  new MutationObserver(() => told.push(state.textContent)).observe(state, { childList: true, subtree: true });
}"""
#: What can be touched and is too small for a finger; a box is touched by its label.
SMALL = """() => [...document.querySelectorAll("button, summary, input, textarea, .button, label.check")]
  .filter((target) => target.checkVisibility() && !target.closest("label.check > *"))
  .map((target) => [target.outerHTML.slice(0, 90), target.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44)
  .map(([html, box]) => `${box.width}x${box.height} ${html}`)"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


class Gate:
    """Answers up to a point, and goes on when the test says so."""

    def __init__(self, before, after):
        self.before, self.after, self.open = before, after, threading.Event()

    def __call__(self, models, messages):
        yield from self.before
        while not self.open.is_set():
            yield 0.02
        yield from self.after


def piece(side, text):
    return Event("piece", side=side, text=text)


@pytest.fixture
def site(sqlite_store_url, tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    make_run(runs, FIRST)
    with Store.open(sqlite_store_url) as store:
        yield make_site(store, runs=runs, team=True, worker=Scripted())


@pytest.fixture
def ann(site):
    return user(site, "ann")


@pytest.fixture
def opened(chromium, site):
    """opened(who, **options): a tab of a browser in which they are logged in."""
    with served(site) as address:
        yield lambda who, **options: tab(chromium, address, site, who, **({"reduced_motion": "reduce"} | options))


def say(page, text):
    page.fill("#message", text)
    page.click("#send")


def chosen(page):
    page.wait_for_selector("[data-do=tie]:visible")


def kept(page):
    return page.locator("#kept .text").all_inner_texts()


def test_a_conversation_by_keyboard_alone(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        page.keyboard.type("First")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("and second line")
        page.keyboard.press("Enter")
        chosen(page)
        assert page.evaluate("document.activeElement.id") == "round-title"
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#message:focus")
        assert kept(page) == ["First\nand second line", "Right says"]
        for key, choice in (("1", "left"), ("t", "tie"), ("b", "both_bad"), ("2", "right"), ("0", "tie")):
            page.keyboard.type(f"1 2 b t s {choice}")  # keys rest while somebody writes
            page.keyboard.press("Enter")
            chosen(page)
            page.keyboard.press(key)
            page.wait_for_selector("#message:focus")
        page.keyboard.type("Skipped")
        page.keyboard.press("Enter")
        chosen(page)
        page.keyboard.press("s")
        page.wait_for_selector("#message:focus")
        assert page.input_value("#message") == "Skipped"
    votes = [vote.choice for vote in site.store.comparisons()]
    assert votes == [Choice.RIGHT, Choice.LEFT, Choice.TIE, Choice.BOTH_BAD, Choice.RIGHT, Choice.TIE]
    assert all(0 < vote.seconds < 60 for vote in site.store.comparisons())


def test_answers_are_seen_while_they_come(opened, site, ann):
    site.worker.script = gate = Gate(
        [Event("waiting", before=2), Event("loading"), piece(0, "One two"), piece(1, "Uno")],
        [piece(1, " due"), *both("", ""), DONE],
    )
    with opened(ann) as page:
        page.goto("/arena")
        page.evaluate(FOLLOW)
        say(page, "Hi")
        page.wait_for_selector("#side-right .text:text('Uno')")
        assert page.inner_text("#side-left .text") == "One two"
        assert page.get_attribute("#side-left", "aria-busy") == "true"
        assert page.is_visible("[data-do=stop]")
        assert not page.is_visible("[data-do=tie]")
        gate.open.set()
        chosen(page)
        assert page.inner_text("#side-right .text") == "Uno due"
        assert page.get_attribute("#side-right", "aria-busy") == "false"
        told = page.evaluate("told")
        for words in ("2 before you", "Both are answering.", "Which answer is better?"):
            assert told.count(words) == 1
        assert any("being loaded" in words for words in told)


def test_stopping(opened, site, ann):
    site.worker.script = Gate([piece(0, "One"), piece(1, "Uno")], [])
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "Hi")
        page.wait_for_selector("#side-right .text:text('Uno')")
        page.keyboard.press("Escape")
        chosen(page)
        assert page.inner_text("#side-right .note") == "stopped"
        page.keyboard.press("1")
        page.wait_for_selector("#message:focus")
        site.worker.script = Gate([piece(0, "One")], [])
        say(page, "Again")
        page.wait_for_selector("#side-left .text:text('One')")
        page.click("[data-do=stop]")
        page.wait_for_selector("#message:focus")
        assert page.input_value("#message") == "Again"
        assert kept(page) == ["Hi", "One"]
    assert site.worker.ended == 2


def test_whatever_is_said_stands_there_as_text(opened, site, ann):
    site.worker.script = lambda models, messages: [*both(EVIL, ""), DONE]
    with opened(ann) as page:
        page.goto("/arena")
        say(page, EVIL)
        chosen(page)
        shown = EVIL.replace("\u202e", "⟨U+202E⟩")
        assert page.inner_text("#side-left .text") == page.inner_text("#round-message") == shown
        assert page.inner_text("#side-right .text") == "It says nothing."
        assert page.get_attribute("#side-left .text", "dir") == "auto"
        page.keyboard.press("1")
        page.wait_for_selector("#kept li")
        assert kept(page) == [shown, shown]
        page.reload()
        page.wait_for_selector("#kept li")
        assert kept(page) == [shown, shown]
        assert page.title() == "Arena · Accord"
        assert page.locator("main img, main script").count() == 0


def test_a_reload_goes_on_with_the_conversation(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "One")
        chosen(page)
        page.keyboard.press("2")
        page.wait_for_selector("#message:focus")
        say(page, "Two")
        chosen(page)
        page.reload()
        chosen(page)
        assert kept(page) == ["One", "Right says"]
        assert page.inner_text("#round-message") == "Two"
        page.keyboard.press("2")
        page.wait_for_selector("#message:visible")
        assert len(list(site.store.comparisons())) == 2
        page.click("[data-do=fresh]")
        assert kept(page) == []
        say(page, "Three")
        chosen(page)
    assert [len(messages) for _, messages, _ in site.worker.asked] == [1, 3, 1]


def test_a_reload_while_they_answer_stops_them(opened, site, ann):
    site.worker.script = Gate([piece(0, "One"), piece(1, "Uno")], [])
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "Hi")
        page.wait_for_selector("#side-right .text:text('Uno')")
        page.reload()
        chosen(page)
        assert page.inner_text("#side-left .text") == "One"
        assert site.worker.ended == 1


def test_a_conversation_that_has_ended(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "One")
        chosen(page)
        page.keyboard.press("1")
        page.wait_for_selector("#message:focus")
        site.conversations = Conversations()
        say(page, "Two")
        page.wait_for_selector("#notice:visible")
        assert "This conversation has ended" in page.inner_text("#notice")
        assert page.input_value("#message") == "Two"
        page.keyboard.press("Enter")
        chosen(page)
        assert page.is_hidden("#notice")
    assert len(site.worker.asked[-1][1]) == 1
    assert len(list(site.store.comparisons())) == 1


def test_an_error_is_one_line_and_can_be_tried_again(opened, site, ann):
    site.worker.script = lambda models, messages: [Event("error", text=f"{models[0]} broke")]
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "Hi")
        page.wait_for_selector("#notice:visible")
        assert page.inner_text("#notice-words") == "The models could not answer."
        site.worker.script = Scripted().script
        page.click("[data-do=again]")
        chosen(page)
        assert page.is_hidden("#notice")


def test_a_vote_without_a_connection_is_sent_again_and_counts_once(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "Hi")
        chosen(page)
        page.route("**/votes", lambda route: (route.fetch(), route.abort()))  # it arrives, and the reply is lost
        page.keyboard.press("2")
        page.wait_for_selector("#notice:visible")
        assert "not saved yet" in page.inner_text("#notice")
        page.keyboard.press("1")  # is not another vote
        page.unroute("**/votes")
        page.click("[data-do=again]")
        page.wait_for_selector("#message:focus")
        assert kept(page) == ["Hi", "Right says"]
    assert [vote.choice for vote in site.store.comparisons()] == [Choice.RIGHT]


def test_two_tabs_in_one_conversation_do_not_vote_twice(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "Hi")
        chosen(page)
        id = page.evaluate(f"sessionStorage.getItem('accord/arena/{ann.id}')")
        other = page.context.new_page()
        other.goto("/arena")
        other.evaluate(f"sessionStorage.setItem('accord/arena/{ann.id}', '{id}')")
        other.reload()
        chosen(other)
        other.keyboard.press("1")
        other.wait_for_selector("#message:visible")
        page.keyboard.press("2")
        page.wait_for_selector("#message:visible")
        assert "decided about before" in page.inner_text("#notice")
        assert kept(page) == ["Hi", "Left says"]
    assert len(list(site.store.comparisons())) == 1


def test_of_two_that_say_the_same_neither_can_be_chosen(opened, site, ann):
    site.worker.script = lambda models, messages: [*both("Same", "Same"), DONE]
    with opened(ann) as page:
        page.goto("/arena")
        say(page, "Hi")
        chosen(page)
        assert "Both say the same" in page.inner_text("#round-state")
        assert [page.is_disabled(f"[data-do={name}]") for name in ("left", "tie", "right")] == [True, False, True]
        page.keyboard.press("1")
        page.keyboard.press("t")
        page.wait_for_selector("#message:focus")
        site.worker.script = Scripted().script
        say(page, "Hi")
        chosen(page)
        assert page.is_enabled("[data-do=left]")
    assert [vote.choice for vote in site.store.comparisons()] == [Choice.TIE]


def test_settings_are_used_and_stay(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        page.click("[data-do=settings]")
        page.fill("#temperature", "0")
        page.fill("#tokens", "64")
        page.keyboard.press("Enter")
        page.reload()
        say(page, "Hi")
        chosen(page)
        page.click("[data-do=settings]")
        page.fill("#temperature", "99")
        page.keyboard.press("Escape")
        page.click("[data-do=skip]")
        page.wait_for_selector("#message:visible")
        say(page, "Hi")
        chosen(page)
    assert [(s["temperature"], s["max_new_tokens"]) for *_, s in site.worker.asked] == [(0, 64), (0, 64)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desk"])
def test_nothing_stands_in_anybodys_way(opened, site, size, scheme):
    cora = user(site, "cora", Role.CURATOR)
    options = {"color_scheme": scheme} | (PHONE if size == "phone" else {})
    site.worker.script = lambda models, messages: [*both("Long words " * 60, "Short", finished=False), DONE]
    with opened(cora, **options) as page:
        page.goto("/arena")
        faults = look(page, size)
        say(page, "Hi")
        chosen(page)
        faults += look(page, size)
        page.click("[data-do=right]")
        page.wait_for_selector("#message:visible")
        faults += look(page, size)
        page.click("[data-do=settings]")
        faults += look(page, size)
        page.goto("/arena/standings")
        faults += look(page, size)
        assert not faults


def look(page, size):
    """What axe finds; on a phone, also targets that are too small, and a page that is too wide."""
    faults = serious(page)
    if size == "phone":
        faults += page.evaluate(SMALL)
        width = page.evaluate("document.documentElement.scrollWidth")
        faults += [f"{width} wide"] if width > 390 else []
    return faults


def test_on_a_phone_answers_are_swiped(opened, site, ann):
    with opened(ann, **PHONE) as page:
        page.goto("/arena")
        say(page, "Hi")
        chosen(page)
        page.tap("[data-do=toB]")
        while page.evaluate("document.getElementById('sides').scrollLeft") < 200:
            page.wait_for_timeout(20)
        page.wait_for_timeout(300)  # what is tapped at once is the second half of a double tap
        assert page.evaluate("document.activeElement.id") == "head-right"
        page.tap("[data-do=right]")
        page.wait_for_selector("#kept li")
        assert kept(page) == ["Hi", "Right says"]
        assert not re.search("message", page.evaluate("document.activeElement.id")), "no keyboard jumps up"


def test_annotators_are_not_led_to_the_standings(opened, site, ann):
    with opened(ann) as page:
        page.goto("/arena")
        assert page.locator("a[href='/arena/standings']").count() == 0
        assert page.locator("a[href='/arena'][aria-current=page]").count() == 1
