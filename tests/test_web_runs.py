"""Training runs in the web app: who may see them, what is told, live growth, and folders that hold anything at all."""

import base64
import hashlib
import json
import math
import os
import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from accord.feedback import Role
from accord.runs import Run
from accord.store import Store
from test_report import dpo_run
from web_kit import client, make_site, user

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "project" / "runs").mkdir(parents=True)
    with Store.open(tmp_path / "accord.db") as store:
        yield make_site(store, team=True, runs=tmp_path / "project" / "runs")


@pytest.fixture
def curator(site):
    return client(site, user(site, "cara", Role.CURATOR))


def make(site, name="first", *, config=None, **more) -> Run:
    settings = {"config": config or {"beta": 0.1}, "command": f"accord dpo --output_dir runs/{name}", "method": "dpo"}
    data = {"form": "preference", "counts": {"train": 88}}
    return Run.create(site.runs / name, **settings | {"base_model": "SmolLM2-135M-Instruct", "data": data} | more)


def get(who, path, status=200, **more):
    answer = who.get(path, **more)
    assert answer.status_code == status, answer.text[:2000]
    return answer


def text_of(answer) -> str:
    """The page as a person reads it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", answer.text))


PATHS = ["/runs", "/runs/first", "/runs/first/live", "/runs/first/report", "/runs/first/report.html",
         "/runs/compare?run=first&run=second", "/comparisons/compare", "/api/runs", "/api/runs/first",
         "/api/runs/first/metrics"]  # fmt: skip


# ---- Who


@pytest.mark.parametrize("path", PATHS)
def test_runs_are_for_curators(site, path):
    make(site)
    assert get(client(site, user(site, "ann")), path, 403)
    nobody = client(site).get(path)
    assert nobody.status_code == (401 if path.startswith("/api/") else 303)


# ---- The list


def test_the_list_begins_with_the_newest_and_says_how_each_stands(site, curator):
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    run = dpo_run(site.runs / "done", steps=8)
    info = json.loads((run.path / "run.json").read_text()) | {"started": old}
    (run.path / "run.json").write_text(json.dumps(info))
    run = make(site, "now")
    run.begin(0, 40)
    run.log(3, {"loss": 0.6, "rewards/accuracies": 0.75})
    make(site, "broken").update_summary({"error": "the loss is not finite at step 2"})
    page = get(curator, "/runs")
    assert re.findall(r'<h2><a href="/runs/(\w+)"', page.text)[-1] == "done"
    told = text_of(page)
    assert re.search(r"DPO · SmolLM2-135M-Instruct · 3 days ago Finished 8 steps Win rate 81 % 70 % to 91", told)
    assert re.search(r"now .* Training now step 3 of 40 .* Training loss 0.6 Training accuracy 75 %", told)
    assert "Stopped with an error" in told


def test_without_runs_it_says_how_to_make_one(curator):
    assert "accord dpo --use_peft" in get(curator, "/runs").text
    assert get(curator, "/api/runs").json() == []


def test_a_run_that_was_left_says_what_is_known(site, curator):
    run = make(site)
    run.log(7, {"loss": 0.5})
    (run.path / "progress.json").write_text(json.dumps({"host": "another", "pid": 1, "born": 1.0, "began": 1.0}))
    long_ago = time.time() - 7200
    os.utime(run.path / "metrics.jsonl", (long_ago, long_ago))
    told = text_of(get(curator, "/runs/first"))
    assert "Looks interrupted" in told
    assert "Nothing was logged for 2 h 0 min: the record ends after step 7." in told
    assert "cannot be seen from here" in told
    assert "--resume" in told


# ---- One run


def test_a_run_shows_what_its_report_shows(site, curator):
    dpo_run(site.runs / "first")
    page = get(curator, "/runs/first")
    told = text_of(page)
    for part in ("Finished", "It took 2 min 23 s", "What changed", "In plain words", "Before and after",
                 "Held-out preferences", "Training", "To do it again", "All 5 options"):  # fmt: skip
        assert part in told, part
    assert page.text.count("<svg") > 8
    assert "has not finished" not in told


def test_a_run_in_the_making_has_a_page(site, curator):
    make(site)
    told = text_of(get(curator, "/runs/first"))
    assert "Getting ready" in told
    assert "Curves are drawn here from the first logged step on." in told
    assert "accord dpo --output_dir runs/first" in told


def test_a_running_run_is_told_how_far_it_is_and_not_judged_by_three_steps(site, curator):
    run = make(site)
    run.begin(0, 400)
    for step in range(1, 7):
        run.log(step, {"loss": 0.69})
    began = run.progress() | {"began": time.time() - 60}
    (run.path / "progress.json").write_text(json.dumps(began))
    told = text_of(get(curator, "/runs/first"))
    assert "step 6 of 400 · about 66 min left" in told
    assert "did not move" not in told
    for step in range(7, 30):
        run.log(step, {"loss": 0.69})
    assert "The loss did not move" in text_of(get(curator, "/runs/first"))


def test_unchanged_costs_a_look_and_growth_is_seen(site, curator):
    run = make(site)
    run.begin(0, 4)
    run.log(1, {"loss": 0.7})
    page = get(curator, "/runs/first")
    tag = re.search(r'data-tag="&#34;(\w+)&#34;"', page.text)[1]
    first = get(curator, "/runs/first/live")
    assert first.headers["etag"] == f'"{tag}"'
    unchanged = get(curator, "/runs/first/live", 304, headers={"if-none-match": first.headers["etag"]})
    assert not unchanged.content
    assert "Loss: training from 0.7 at step 1" in first.text
    run.log(2, {"loss": 0.6})
    second = get(curator, "/runs/first/live", headers={"if-none-match": first.headers["etag"]})
    assert "Loss: training from 0.7 at step 1 to 0.6 at step 2" in second.text
    assert "step 2 of 4" in text_of(second)
    run.update_summary({"seconds": 2.0, "steps": 4})
    third = get(curator, "/runs/first/live", headers={"if-none-match": second.headers["etag"]})
    assert 'data-state="finished"' in third.text
    assert len({answer.headers["etag"] for answer in (first, second, third)}) == 3


def test_a_resumed_run_forgets_on_the_page_too(site, curator):
    run = make(site)
    for step in (1, 2, 3):
        run.log(step, {"loss": 0.7})
    assert "at step 3" in get(curator, "/runs/first/live").text
    run.rewind(1)
    assert "at step 3" not in get(curator, "/runs/first/live").text


# ---- Its report


def test_the_report_is_a_page_that_can_do_nothing(site, curator):
    run = dpo_run(site.runs / "first", steps=8)
    run.add_sample({"prompt": SCRIPT, "before": SCRIPT, "after": "</style>" + SCRIPT})
    answer = get(curator, "/runs/first/report")
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    kept = get(curator, "/runs/first/report.html")
    assert kept.headers["content-disposition"] == 'attachment; filename="first-report.html"'
    assert kept.text == answer.text
    assert not (run.path / "report.html").exists()


# ---- Several


def test_runs_side_by_side(site, curator):
    dpo_run(site.runs / "first", steps=24)
    dpo_run(site.runs / "second", steps=48, beta=0.3)
    page = get(curator, "/runs/compare?run=first&run=second&run=first")
    told = text_of(page)
    assert "beta 0.1 0.3" in told
    assert "Win rate over the base 81 % [70 % to 91 %] 81 %" in told
    assert "Loss: first from" in page.text
    assert "second, held out from" in page.text
    assert "Explain what a haiku is." in told


@pytest.mark.parametrize("names", [(), ("first",), ("first", "second", "third", "fourth", "fifth", "sixth")])
def test_too_few_or_too_many_are_chosen_anew(site, curator, names):
    for name in ("first", "second", "third", "fourth", "fifth", "sixth"):
        make(site, name)
    page = get(curator, "/runs/compare?" + "&".join(f"run={name}" for name in names))
    assert "Choose two runs to compare, or up to 5." in page.text
    assert page.text.count(" checked>") == len(names)


def test_a_run_may_be_called_compare(site, curator):
    make(site, "compare", base_model="mine")
    assert "mine, trained" in get(curator, "/runs/compare").text
    assert get(curator, "/runs/compare/live")


def figures(**more):
    models = [
        {"name": "base", "method": "", "source": "smollm2"},
        {"name": "first", "method": "dpo", "source": "runs/first", "win_rate": 0.7, "win_rate_ci": [0.6, 0.8]},
    ]
    answers = {"base": {"text": "So."}, "first": {"text": SCRIPT}}
    return {"models": models, "matches": [], "prompts": [{"prompt": "Why?", "answers": answers}], "n_prompts": 1} | more


def test_what_accord_compare_left_is_shown(site, curator):
    project = site.runs.parent
    (project / "two.json").write_text(json.dumps(figures()))
    assert "/comparisons/" not in get(curator, "/runs").text  # a file like any other
    get(curator, "/comparisons/two", 404)
    (project / "two.answers.jsonl").write_text("")
    assert '<a href="/comparisons/two">' in get(curator, "/runs").text
    page = get(curator, "/comparisons/two")
    assert "&lt;script&gt;" in page.text
    assert "<script" not in page.text
    assert "style-src 'sha256-" in page.headers["content-security-policy"]


def test_a_damaged_comparison_is_refused_in_a_line(site, curator):
    (site.runs / "two.answers.jsonl").write_text("")
    for content in ("", "[1, 2]", "{}", '{"models": 3}', json.dumps(figures(prompts=[1])), "[" * 5000):
        (site.runs / "two.json").write_text(content)
        assert (
            "No report: a record in it does not look as Accord writes it." in get(curator, "/comparisons/two", 422).text
        )


# ---- Names that lead elsewhere


ELSEWHERE = ("%2e%2e", "..%2fsecret", "%2fetc", "secret", ".hidden", "a%00b", "a" * 300, "-x", "~", "linked", "%ff",
             "..%5csecret", "a/../../secret", "nothing")  # fmt: skip


@pytest.mark.parametrize("path", ["/runs/{}", "/runs/{}/live", "/runs/{}/report", "/runs/{}/report.html",
                                  "/runs/compare?run={}&run=first", "/comparisons/{}", "/api/runs/{}",
                                  "/api/runs/{}/metrics"])  # fmt: skip
def test_a_name_leads_nowhere_else(site, curator, tmp_path, path):
    make(site)
    secret = Run.create(tmp_path / "project" / "secret", config={"key": "hunter2"}, command="accord hunter2")
    (tmp_path / "project" / "secret.json").write_text('{"hunter2": 1}')
    (site.runs / "linked").symlink_to(secret.path)
    for name in ELSEWHERE:
        assert "hunter2" not in get(curator, path.format(name), 404).text


def test_links_that_lead_out_are_not_listed(site, curator, tmp_path):
    outside = Run.create(tmp_path / "outside", config={}, command="accord dpo")
    (site.runs / "linked").symlink_to(outside.path)
    make(site)
    assert [run["name"] for run in get(curator, "/api/runs").json()] == ["first"]
    assert "linked" not in get(curator, "/runs").text


# ---- Folders that hold anything

DEEP = "[" * 600 + "]" * 600
ODD = [1, "x", None, True, [], {}, [[]], {"a": SCRIPT}, 1e308, -1e308, 10**400, math.nan, math.inf, "\ud800", SCRIPT]
KEYS = {
    "run.json": ["config", "method", "base_model", "data", "command", "started", "seed", "device", "versions"],
    "summary.json": ["error", "seconds", "finished", "stopped", "evaluation", "judge", "margins", "win_rate",
                     "win_rate_ci", "accuracy", "kl", "kl_ci", "words_before", "words_after", "steps", SCRIPT],
    "progress.json": ["pid", "host", "born", "began", "step", "max_steps"],
    "metrics.jsonl": ["step", "loss", "reward", "kl_per_completion", SCRIPT, f"rewards/{SCRIPT}/mean"],
    "samples.jsonl": ["prompt", "before", "after", "verdict", "finished"],
    "rollouts.jsonl": ["step", "prompt", "completion", "reward", "finished"],
}  # fmt: skip


def no_json(name):
    raise AssertionError(f"{name} is no JSON")


def show_all(who, note=""):
    """Everything that is shown of the run `first`: never a script, never a failure of the server."""
    for path in PATHS:
        answer = who.get(path)
        expected = {200, 404} if "compar" in path else {200, 422} if "report" in path else {200}
        assert answer.status_code in expected, (path, answer.text[:500])
        assert "<script>" not in answer.text or path.startswith("/api/"), path
        if path.startswith("/api/"):
            json.loads(answer.text, parse_constant=no_json)
    if note:
        assert note in text_of(who.get("/runs/first"))


@pytest.mark.parametrize("name", ["run.json", "summary.json", "progress.json"])
def test_odd_things_in_a_file_of_one_object(site, curator, name):
    run = dpo_run(site.runs / "first", steps=3)
    run.begin(0, 10)
    file = run.path / name
    before = json.loads(file.read_bytes())
    for odd in ODD:
        file.write_text(json.dumps(before | dict.fromkeys(KEYS[name], odd)))
        show_all(curator)
        for key in KEYS[name]:
            file.write_text(json.dumps(before | {key: odd}))
            assert get(curator, "/runs/first/live"), (key, odd)
            assert get(curator, "/api/runs"), (key, odd)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "rollouts.jsonl"])
def test_odd_things_in_a_file_of_lines(site, curator, name):
    run = make(site, method="grpo")
    run.begin(0, 10)
    for step in (1, 2):
        run.log(step, {"loss": 0.5, "reward": 1.0, "kl_per_completion": 1.0, "rewards/a/mean": 1.0})
    file = run.path / name
    before = file.read_bytes() if file.exists() else b""
    for odd in ODD:
        records = [dict.fromkeys(KEYS[name], odd), *({"step": 3, key: odd} for key in KEYS[name])]
        records += [{"step": 4, "prompt": odd, "before": odd, "after": odd, "completion": odd, "reward": 1}] * 3
        file.write_bytes(before + "".join(f"{json.dumps(record)}\n" for record in records).encode())
        show_all(curator)


@pytest.mark.parametrize("name", ["run.json", "summary.json", "progress.json", "data/manifest.json"])
def test_a_file_that_is_damaged_is_told_in_a_line(site, curator, name):
    run = make(site)
    (run.path / "data").mkdir()
    told = "" if name == "progress.json" else f"{name.split('/')[-1]}: not a JSON object, so nothing of it is shown"
    for content in (b"", b"[]", b"{", b"\xff\xfe", b"null", DEEP.encode(), b'{"a": ' + DEEP.encode() + b"}"):
        (run.path / name).write_bytes(content)
        show_all(curator, told)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "rollouts.jsonl"])
def test_damaged_lines_are_left_out_and_told(site, curator, name):
    run = make(site)
    lines = [
        '{"step": 1, "loss": 0.5}',
        "",
        "no",
        '{"step": 2, "loss": 0.4}',
        f'{{"a": {DEEP}}}',
        '{"step": 3, "loss": 0.3}',
    ]
    (run.path / name).write_text("\n".join(lines) + '\n{"step": 4, "lo')
    show_all(curator, f"{name}: 3 lines, the first of them line 2, are damaged and left out")
    if name == "metrics.jsonl":
        assert "from 0.5 at step 1 to 0.3 at step 3" in get(curator, "/runs/first").text
        assert [record["step"] for record in get(curator, "/api/runs/first/metrics").json()["metrics"]] == [1, 2, 3]


def test_a_torn_last_line_is_what_a_killed_writer_leaves(site, curator):
    run = make(site)
    (run.path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert 'id="notes"' not in get(curator, "/runs/first").text
    (run.path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo\n')
    assert 'id="notes"' not in get(curator, "/runs/first").text


def test_files_that_are_far_too_large_are_not_read(site, curator, monkeypatch):
    for limit in ("OBJECT_LIMIT", "METRICS_LIMIT", "TEXTS_LIMIT"):
        monkeypatch.setattr(f"accord.web.runs.files.{limit}", 2000)
    monkeypatch.setattr("accord.web.runs.metrics.METRICS_LIMIT", 2000)
    run = make(site)
    run.update_summary({"judge": "x" * 3000})
    for step in range(100):
        run.log(step, {"loss": 0.5})
        run.log_rollout(
            step, [{"prompt": f"Question {step}", "completion": "x" * 40, "reward": step, "finished": True}]
        )
    told = text_of(get(curator, "/runs/first"))
    assert "summary.json: far larger than Accord writes it, so nothing of it is shown" in told
    assert "metrics.jsonl: far larger than Accord writes it, so nothing of it is shown" in told
    assert "rollouts.jsonl: it is long, so only its beginning and its end are looked at" in told
    assert "far larger" in get(curator, "/api/runs/first/metrics", 422).json()["detail"]


# ---- Long runs


def test_a_hundred_thousand_lines(site, curator):
    """The first look reads a part of the lines and all that stand out; the next ones read nothing."""
    run = make(site)
    keys = ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "grad_norm",
            "logps/rejected", "learning_rate", "epoch", "num_tokens"]  # fmt: skip
    with (run.path / "metrics.jsonl").open("w") as file:
        for step in range(1, 100_001):
            record = {"step": step, "loss": 0.7 - step / 200_000} | dict.fromkeys(keys, step / 7)
            file.write(json.dumps(record | ({"loss": None} if step == 77_777 else {})) + "\n")
            if step % 10_000 == 0:
                file.write(json.dumps({"step": step, "eval_loss": 0.6}) + "\n")
    get(curator, "/runs")
    began = time.process_time()
    page = get(curator, "/runs/first")
    first = time.process_time() - began
    assert "of its 100,010 lines, every 26th of training is drawn, and all of held-out data" in text_of(page)
    assert "The loss was no longer a number at step 77777" in text_of(page)
    assert "held out from 0.6 at step 10000 to 0.6 at step 100000" in page.text
    assert "at step 100000; not held out" in page.text
    tag = get(curator, "/runs/first/live").headers["etag"]
    began = time.process_time()
    for _ in range(20):
        get(curator, "/runs/first/live", 304, headers={"if-none-match": tag})
    assert time.process_time() - began < 1
    assert first < 3  # about 1 on an idle machine


# ---- For scripts


def test_metrics_come_in_whole_steps_from_any_step_on(site, curator):
    run = make(site)
    for step in range(1, 11):
        run.log(step, {"loss": 0.5})
        if step % 5 == 0:
            run.log(step, {"eval_loss": 0.6})
    path = "/api/runs/first/metrics"
    everything = get(curator, path).json()
    assert [record["step"] for record in everything["metrics"]] == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10]
    assert everything["more"] is False
    some = get(curator, f"{path}?limit=5").json()
    assert [record["step"] for record in some["metrics"]] == [1, 2, 3, 4, 5, 5]
    assert some["more"] is True
    assert some["metrics"] + get(curator, f"{path}?after=5").json()["metrics"] == everything["metrics"]
    for after, steps in ((0, 12), (4.5, 8), (10, 0), (-1, 12), (1e9, 0)):
        assert len(get(curator, f"{path}?after={after}").json()["metrics"]) == steps
    assert get(curator, f"{path}?after=x", 422)
    assert get(curator, f"{path}?after=nan").status_code == 200


def test_a_run_as_json(site, curator):
    dpo_run(site.runs / "first", steps=8)
    (brief,) = get(curator, "/api/runs").json()
    assert (brief["name"], brief["state"], brief["step"], brief["says"]) == (
        "first",
        "finished",
        8,
        "It took 2 min 23 s.",
    )
    assert brief["figures"]["win_rate"] == {"value": 0.81, "low": 0.7, "high": 0.91}
    full = get(curator, "/api/runs/first").json()
    assert brief.items() <= full.items()
    assert full["config"]["beta"] == 0.1
    assert full["summary"]["judge"] == "concise"
    assert full["command"].startswith("accord dpo")
    assert full["notes"] == []
    assert get(curator, "/api/runs/second", 404).json()["detail"] == "run second: not here"
