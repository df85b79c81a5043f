"""Training runs in a browser: the curve that grows, the reader who is left in peace, several side by side."""

import threading
import time

import pytest

from accord.runs import Run
from accord.store import Store
from test_report import dpo_run
from web_kit import make_site, serious, served, tab

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture
def site(tmp_path):
    (tmp_path / "project" / "runs").mkdir(parents=True)
    with Store.open(tmp_path / "accord.db") as store:
        yield make_site(store, runs=tmp_path / "project" / "runs")


@pytest.fixture
def address(site):
    with served(site) as address:
        yield address


@pytest.fixture
def open_tab(chromium, address, site):
    """Opens a page for the person at this machine."""
    opened = []

    def go(path, **options):
        context = tab(chromium, address, site, site.local, **options)
        page = context.__enter__()
        opened.append(context)
        page.goto(path)
        return page

    yield go
    for context in reversed(opened):
        context.__exit__(None, None, None)


def begun(site, name="first", steps=24) -> Run:
    """A run that trains: the process is this one."""
    run = Run.create(
        site.runs / name, config={"beta": 0.1, "lora_r": 16}, command="accord dpo", method="dpo", base_model="SmolLM2"
    )
    run.begin(0, 400)
    log(run, 1, steps)
    return run


def log(run: Run, first: int, last: int) -> None:
    for step in range(first, last + 1):
        run.log(step, {"loss": 0.7 - step / 1e5, "rewards/margins": step / 100, "learning_rate": 1e-4})


def figure(page, title="Loss"):
    return page.locator("figure", has=page.get_by_text(title, exact=True)).first


def route(page) -> str:
    return figure(page).locator("svg path.line").last.get_attribute("d")


def test_the_curve_grows_while_a_run_trains_and_the_reader_stays(site, open_tab):
    run = begun(site, steps=15)
    page = open_tab("/runs/first", viewport={"width": 1280, "height": 240})
    assert not page.locator(".remark").count()
    before = route(page)
    numbers = figure(page, "Learning rate").locator("summary")
    numbers.focus()
    page.keyboard.press("Enter")
    page.evaluate("document.querySelector('#again').scrollIntoView()")
    at = page.locator("#again").bounding_box()["y"]
    page.evaluate("window.kept = document.querySelector('figure svg')")

    writer = threading.Thread(target=lambda: [log(run, step, step) or time.sleep(0.05) for step in range(16, 80)])
    writer.start()
    page.get_by_text("step 79 of 400").wait_for(state="attached")
    writer.join()
    assert route(page) != before
    assert "at step 79" in figure(page).locator("svg").get_attribute("aria-label")
    assert page.evaluate("window.kept.isConnected")  # renewed in place
    assert figure(page, "Learning rate").locator("details").get_attribute("open") is not None
    assert page.evaluate("document.activeElement.localName") == "summary"
    # Plain words have come in above, and still the page stands where it stood.
    assert page.locator(".remark").count()
    assert page.locator("#again").bounding_box()["y"] == pytest.approx(at, abs=2)

    run.update_summary({"seconds": 80.0, "steps": 400})
    page.get_by_role("status").get_by_text("Finished").wait_for()
    assert not page.locator("#pause").is_visible()
    assert page.get_by_text("400 steps", exact=True).is_visible()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    log(run, 400, 401)
    page.wait_for_timeout(3500)
    assert not asked


def test_it_can_be_paused_and_goes_on(site, open_tab):
    run = begun(site)
    page = open_tab("/runs/first")
    page.keyboard.press("Tab")
    page.locator("#pause").focus()
    page.keyboard.press("Enter")
    assert page.get_by_text("Paused: what stands here is no longer new.").is_visible()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    log(run, 25, 30)
    page.wait_for_timeout(3500)
    assert not asked
    assert page.get_by_text("step 24 of 400").is_visible()
    page.keyboard.press("Enter")
    page.get_by_text("step 30 of 400").wait_for()
    assert page.evaluate("document.activeElement.id") == "pause"
    assert page.locator("#pause").inner_text() == "Pause"


def test_an_unchanged_run_is_asked_for_without_being_sent(site, open_tab):
    begun(site)
    page = open_tab("/runs/first")
    with page.expect_response("**/live") as found:
        pass
    assert found.value.status == 304


def test_a_server_that_is_away_is_asked_again(site, open_tab):
    run = begun(site)
    page = open_tab("/runs/first")
    page.route("**/live", lambda request: request.abort())
    page.get_by_text("The server does not answer. It is asked again.").wait_for()
    page.unroute("**/live")
    log(run, 25, 26)
    page.get_by_text("step 26 of 400").wait_for()
    assert not page.get_by_text("does not answer").count()


def test_who_is_logged_out_is_told(site, open_tab):
    begun(site)
    page = open_tab("/runs/first")
    page.context.clear_cookies()
    page.get_by_text("You are no longer logged in: load the page again.").wait_for()
    assert not page.locator("#pause").is_visible()


def test_a_run_in_the_making_comes_to_life(site, open_tab):
    run = Run.create(site.runs / "first", config={}, command="accord dpo", method="dpo")
    run.begin()
    page = open_tab("/runs/first")
    assert page.get_by_text("Getting ready").is_visible()
    run.begin(0, 40)
    log(run, 1, 3)
    page.get_by_role("status").get_by_text("Training now").wait_for()
    assert figure(page).is_visible()


def test_runs_are_compared_by_keyboard(site, open_tab):
    dpo_run(site.runs / "first", steps=24)
    dpo_run(site.runs / "second", steps=48, beta=0.3)
    page = open_tab("/runs")
    for name in ("first", "second"):
        page.get_by_label(f"Compare {name}").focus()
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/compare?**")
    assert figure(page).locator("svg path.line.one").count()
    assert figure(page).locator("svg path.line.chosen").count()
    assert page.get_by_role("heading", name="Explain what a haiku is.").is_visible()
    page.get_by_role("link", name="Choose others").click()
    assert page.get_by_label("Compare first").is_checked()


def test_the_report_has_its_style_and_nothing_else(site, open_tab):
    dpo_run(site.runs / "first", steps=24)
    page = open_tab("/runs/first")
    with page.expect_download() as kept:
        page.get_by_role("link", name="Download it").click()
    assert kept.value.suggested_filename == "first-report.html"
    page.get_by_role("link", name="Report").click()
    assert page.locator(".card").first.evaluate("card => getComputedStyle(card).borderRadius") == "12px"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_for_everybody(site, open_tab, scheme, size):
    begun(site, "now", steps=40)
    Run.create(site.runs / "new", config={}, command="accord dpo", method="dpo").begin()
    dpo_run(site.runs / "first", steps=48)
    dpo_run(site.runs / "second", steps=48, beta=0.3)
    begun(site, "broken").update_summary({"error": "the loss is not finite at step 25: " + "x" * 200})
    (site.runs / "broken" / "samples.jsonl").write_text("no\n{}\n")
    page = open_tab("/runs", viewport=size, color_scheme=scheme, has_touch=size is PHONE)
    for path in ("", "/now", "/new", "/first", "/broken", "/compare?run=first&run=second"):
        page.goto(f"/runs{path}")
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert not serious(page), path
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path
        small = page.eval_on_selector_all(
            "main button, main a, main label", "all => all.filter(one => one.offsetHeight && one.offsetHeight < 44)"
            ".map(one => one.outerHTML)"
        )  # fmt: skip
        assert size is not PHONE or not small, path
