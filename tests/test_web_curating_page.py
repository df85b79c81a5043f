"""A curator's work in a real browser, by keyboard alone; hostile texts; every page for everybody who looks at it."""

import json

import pytest

from accord.exchange import read
from accord.feedback import Comparison, Message, Prompt, Response, Said
from accord.store import Store
from accord.web.drawing import questions
from web_kit import make_site, press, serious, served, tab, to, user, world, write

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'>"
#: The height of what is pressed, and what it says.
TARGETS = """() => [...document.querySelectorAll("a.button, button, select, textarea, .check, .filters a, .tabs a")]
    .filter(one => one.offsetParent)
    .map(one => [one.getBoundingClientRect().height, one.outerHTML.slice(0, 100)])
    .filter(([height]) => height < 44)"""


@pytest.fixture
def site(tmp_path):
    with Store.open(tmp_path / "accord.db") as store:
        store.add(world(prompts=6, answers=2))
        yield make_site(store, runs=tmp_path)


def test_a_campaign_from_its_making_to_its_file_by_keyboard(chromium, site, tmp_path):
    with served(site) as address, tab(chromium, address, site, site.local) as page:
        page.goto("/campaigns")
        press(page, "a[href='/campaigns/new']")
        press(page, ".stack button.primary")  # without a title
        assert page.locator("#title-why").inner_text() == "Write something here."
        to(page, ".faults a")
        write(page, "#title", "Which helps?")
        to(page, "input[name=kind]:checked")
        page.keyboard.press("ArrowDown")  # pairs, and how much
        write(page, "#overlap", "2")
        press(page, ".stack button.primary")
        assert page.url.endswith("/campaigns/which-helps/draw?done=made")

        write(page, "#per_prompt", "1")
        press(page, "button[value=count]")
        assert page.locator("#confirm-title").inner_text() == "This makes 6 new questions"
        assert page.evaluate("document.activeElement.value") == "draw", "the next step has the focus"
        press(page, "button[value=draw]")
        assert page.locator(".said").inner_text() == "New questions: 6."

        press(page, ".tabs a[href$=guideline]")
        write(page, "#text", "Be **kind**.")
        press(page, "button[value=preview]")
        assert page.locator(".preview strong").inner_text() == "kind"
        press(page, "button[value=save]")
        assert site.campaigns.guideline("which-helps").version == 2
        press(page, "a[href$='guideline/2']")
        assert page.locator(".diff .added").all_text_contents() == ["added: Be **kind**."]

        press(page, ".tabs a[href$=questions]")
        press(page, ".list a")
        to(page, "input[name=right]")
        page.keyboard.press("Space")
        write(page, "#reason", "It is right.")
        press(page, "form[action$=control] button")
        assert "A control question now" in page.locator(".said").inner_text()
        (control,) = site.campaigns.questions("which-helps", only="control")[0]
        assert control.control.reason == "It is right."

        press(page, ".tabs a[href$='which-helps']")
        assert page.locator("#so-far").inner_text() == "0 of 10 answers"
        for who in ("ann", "bob"):
            annotator = user(site, who).annotator_id
            for item in site.asking.next("which-helps", annotator, 5):
                if item.assignment.question_id != control.id:
                    said = Said(f"vote-{who}-{item.assignment.question_id}", item.assignment.question_id,
                                {"choice": "left", "strength": 2})  # fmt: skip
                    site.asking.answer(annotator, said)
        page.reload()
        answers = site.progress.totals()["which-helps"].answers
        assert answers >= 8
        assert page.locator("#so-far").inner_text() == f"{answers} of 10 answers"
        assert page.locator(".people tbody tr").count() == 2

        press(page, "a[href^='/export']")
        to(page, "#type")
        page.keyboard.press("ArrowDown")
        to(page, ".stack button")
        with page.expect_download() as download:
            page.keyboard.press("Enter")
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.name == "which-helps-dpo.csv"
        assert sum(isinstance(noun, Comparison) for noun in read(file)) > 0


def hostile(site, made):
    """Fills a campaign with hostile texts of models and annotators; the addresses of all pages about it."""
    prompt = Prompt((Message("user", EVIL),))
    answers = [Response(prompt.id, (Message("assistant", f"I am ChatGPT {n} {EVIL}"),), source=EVIL) for n in range(2)]
    site.store.add([prompt, *answers])
    site.campaigns.add_questions(questions(made, site.store.responses(), per_prompt=1))
    question = next(one.id for one in site.campaigns.questions(made.id)[0] if one.prompt_id == prompt.id)
    ann, bob = (user(site, name).annotator_id for name in ("<b>ann</b>", EVIL))
    for who in (ann, bob):
        site.asking.next(made.id, who, 10)
    site.asking.answer(ann, Said("vote-evil", question, {"choice": "left"}, 3.0, EVIL, (EVIL,)))
    site.asking.flag(ann, question, "flag-evil", EVIL, EVIL)
    site.asking.skip(bob, question, EVIL)
    base = f"/campaigns/{made.id}"
    return [
        *("/", "/campaigns", "/campaigns/new", "/import", "/export", base, f"{base}/settings", f"{base}/questions"),
        *(f"{base}/questions?only=flagged", f"{base}/questions/{question}", f"{base}/controls", f"{base}/guideline"),
        *(f"{base}/guideline/2", f"{base}/draw"),
    ]


def test_hostile_texts_do_nothing_and_every_page_is_sound(chromium, site):
    with served(site) as address:
        with tab(chromium, address, site, site.local) as page:
            said = []
            page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
            page.goto("/campaigns/new")
            for field in ("title", "tags", "skip_reasons", "guideline"):
                page.fill(f"#{field}", EVIL)
            page.fill("#overlap", "")
            page.click(".stack button.primary")
            assert page.locator("#overlap-why").is_visible()
            assert page.input_value("#title") == EVIL, "nothing is lost of what was typed"
            page.fill("#overlap", "3")
            page.click(".stack button.primary")
            (made,) = site.campaigns.all()
            assert (made.title, made.tags, made.skip_reasons) == (EVIL, (EVIL,), (EVIL,))
            page.goto(f"/campaigns/{made.id}/guideline")
            page.fill("#text", f"{EVIL}\n\n[x](javascript:alert(3)) ![y](http://evil.example/z.png)")
            page.click("button[value=preview]")
            page.click("button[value=save]")
            pages = hostile(site, made)
            page.goto(f"/campaigns/{made.id}/questions?only=named")
            page.fill("#words", "<img")
            page.click(".search button")
            page.click(".list a")
            page.check("input[name=right][value=tie]")
            page.fill("#reason", EVIL)
            page.click("form[action$=control] button")
            for path in pages:
                page.goto(path)
                assert page.evaluate("document.images.length") == 0, path
            assert said == []
        for options in ({}, {"color_scheme": "dark"}, PHONE, PHONE | {"color_scheme": "dark"}):
            with tab(chromium, address, site, site.local, **options) as page:
                for path in pages:
                    page.goto(path)
                    assert serious(page) == [], (path, options)
                    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, options)
                    assert not options.get("is_mobile") or page.evaluate(TARGETS) == [], path


def test_files_are_chosen_checked_and_imported(chromium, site, tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prompt": "Why?", "chosen": 5, "rejected": "No."}\n')
    with served(site) as address, tab(chromium, address, site, site.local) as page:
        page.goto("/import")
        page.set_input_files("#file", file)
        page.click("button[value=look]")
        assert page.locator("#file-why").inner_text() == "bad.jsonl:1: chosen: is a number, expected text"
        assert serious(page) == []
        file.write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n')
        page.set_input_files("#file", file)
        page.check("#sure")
        page.click("button[value=import]")
        assert "Imported." in page.locator(".said").inner_text()
        assert site.store.counts()["comparisons"] == 1
        (made,) = site.campaigns.all()
        page.goto(f"/campaigns/{made.id}/controls")
        right = {"prompt": "2 + 2?", "responses": ["4", "5"], "right": 0, "reason": "It is 4."}
        (tmp_path / "right.jsonl").write_text(json.dumps(right))
        page.set_input_files("#file", tmp_path / "right.jsonl")
        page.click("form[enctype] button")
        assert page.locator(".said").inner_text() == "New control questions: 1. Changed ones: 0."
        assert "It is 4." in page.locator(".list").inner_text()


def test_the_first_page_of_an_empty_project(chromium, tmp_path):
    with Store.open(tmp_path / "empty.db") as store:
        site = make_site(store, runs=tmp_path)
        with served(site) as address:
            for options in ({}, PHONE | {"color_scheme": "dark"}):
                with tab(chromium, address, site, site.local, **options) as page:
                    for path in ("/", "/campaigns", "/export", "/import"):
                        page.goto(path)
                        assert serious(page) == [], path
                        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
                    page.goto("/")
                    assert page.locator(".steps .command").all_inner_texts() == [
                        "accord import FILE",
                        "accord sample --store --n 2",
                        "accord ask",
                    ]
