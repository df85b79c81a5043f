"""The report holds what it promises: one file, no script, no network, whatever is in the run folder."""

import json
import math
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from accord.evaluation import histogram
from accord.report import write_report
from accord.report.charts import reliability_chart, thin, ticks
from accord.report.explain import explain
from accord.report.facts import Point, read_facts
from accord.report.words import duration, percent, short, signed, visible
from accord.runs import Run

PAIRS = [
    (
        "How do I keep basil alive on a kitchen windowsill?",
        "Certainly! Keeping basil alive on a kitchen windowsill is a great way to have fresh herbs. Here are some "
        "tips:\n\n1. Choose a sunny window.\n2. Water the plant regularly.\n3. Use good soil.\n4. Pinch the flowers."
        "\n\nLet me know if you have any other questions!",
        "Give it six hours of sun, water it when the top of the soil is dry, and pinch off the flowers.",
    ),
    (
        "Explain what a haiku is.",
        "A haiku is a form of Japanese poetry that has three lines. The first line has five syllables, the second has "
        "seven and the third has five again. Haiku are often about nature and the seasons.",
        "A haiku is a Japanese poem of three lines with five, seven and five syllables, often about nature.",
    ),
    (
        "Is it safe to reheat rice?",
        "Yes, it is safe.",
        "Yes, if it was chilled within an hour; heat it until it steams.",
    ),
]


def dpo_run(path, steps=120, evaluated=True, finished=True, beta=0.1):
    """A run as DPO on a small model leaves it, drawn from a fixed seed."""
    noise = random.Random(0)
    run = Run.create(
        path,
        config={"beta": beta, "learning_rate": 3e-4, "lora_r": 16, "num_train_epochs": 2, "max_length": 1024},
        command="accord dpo --config accord.yaml --learning_rate 3e-4 --output_dir runs/demo",
        method="dpo",
        base_model="SmolLM2-135M-Instruct",
        base_model_hash="5d3f…c1",
        snapshot_hash="9b1d2c0ffee0",
        data={"form": "preference", "counts": {"train": 412, "test": 96}, "annotators": {"simulated": 5}},
        seed=7,
        device="cpu",
    )
    for step in range(1, steps + 1):
        t = step / steps
        margin = 2.1 * (1 - math.exp(-2.5 * t)) + noise.gauss(0, 0.25) * t
        chosen = -0.35 * t + noise.gauss(0, 0.1) * t
        run.log(
            step,
            {
                "loss": math.log1p(math.exp(-margin)) + noise.gauss(0, 0.03),
                "rewards/chosen": chosen,
                "rewards/rejected": chosen - margin,
                "rewards/margins": margin,
                "rewards/accuracies": min(1.0, max(0.0, 0.5 + 0.4 * (1 - math.exp(-4 * t)) + noise.gauss(0, 0.08))),
                "logps/chosen": -92 + 10 * chosen + noise.gauss(0, 12),
                "logps/rejected": -120 + 10 * (chosen - margin) + noise.gauss(0, 14),
                "grad_norm": 3 * math.exp(-t) + abs(noise.gauss(0, 0.4)),
                "learning_rate": 3e-4 * (1 - t),
                "epoch": 2 * t,
            },
        )
        if step % 24 == 0:
            calm = 1.6 * (1 - math.exp(-2.5 * t))
            loss = math.log1p(math.exp(-calm))
            run.log(step, {"eval_loss": loss, "eval_rewards/accuracies": 0.5 + 0.3 * t, "eval_rewards/margins": calm})
    if finished:
        run.update_summary({"seconds": 143.2, "n_votes": 2060, "n_pairs": 412})
    if evaluated:
        rewards = [noise.gauss(1.4, 1.5) for _ in range(96)]
        before = [noise.gauss(25, 40) for _ in range(96)]
        after = [b + 10 * r for b, r in zip(before, rewards, strict=True)]
        run.update_summary(
            {
                "judge": "concise",
                "n_answers": 48,
                "win_rate": 0.81,
                "win_rate_ci": [0.7, 0.91],
                "win_rate_same_length": 0.64,
                "win_rate_same_length_ci": [0.41, 0.86],
                "accuracy": 0.79,
                "accuracy_ci": [0.71, 0.87],
                "base_accuracy": 0.5,
                "base_accuracy_ci": [0.5, 0.5],
                "accuracy_difference": 0.29,
                "accuracy_difference_ci": [0.21, 0.37],
                "likelihood_accuracy": 0.83,
                "likelihood_accuracy_ci": [0.75, 0.9],
                "base_likelihood_accuracy": 0.72,
                "likelihood_accuracy_difference": 0.11,
                "likelihood_accuracy_difference_ci": [0.05, 0.18],
                "margin": 1.38,
                "margin_ci": [1.1, 1.66],
                "base_margin": 0.0,
                "margin_difference": 1.38,
                "margin_difference_ci": [1.1, 1.66],
                "log_loss": 0.47,
                "log_loss_ci": [0.4, 0.55],
                "base_log_loss": 0.6931,
                "log_loss_difference": -0.22,
                "log_loss_difference_ci": [-0.29, -0.14],
                "calibration_error": 0.07,
                "calibration_error_ci": [0.04, 0.14],
                "base_calibration_error": 0.0,
                "kl": 6.4,
                "kl_ci": [4.9, 8.1],
                "kl_per_token": 0.14,
                "words_before": 87.4,
                "words_after": 41.0,
                "margins": {
                    "reward": histogram(after=rewards),
                    "likelihood": histogram(before=before, after=after),
                },
            }
        )
        for i in range(12):
            prompt, old, new = PAIRS[i % len(PAIRS)]
            run.add_sample({"prompt": prompt, "before": old, "after": new, "verdict": float(i % 3 != 2)})
    return run


class Reader(HTMLParser):
    """Collects what a browser would see: elements, attributes, text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words, self.within = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.within.append(tag)

    def handle_endtag(self, tag):
        while self.within and self.within.pop() != tag:
            pass

    def handle_data(self, data):
        if "style" not in self.within:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def demo(tmp_path):
    return dpo_run(tmp_path / "demo")


def test_the_whole_report(demo):
    page = write_report(demo.path).read_text("utf-8")
    seen = Reader(page)
    assert "trained with Direct Preference Optimization (DPO) on 412 preference pairs" in seen.text
    assert "from 2,060 votes of 5 simulated annotators." in seen.text
    assert "81 %" in seen.text
    assert "70 % to 91 %" in seen.text
    assert "2 min 23 s" in seen.text
    for heading in ("What changed", "In plain words", "Before and after", "Held-out preferences", "To do it again"):
        assert heading in seen.text
    for curve in ("Loss", "Accuracy", "Margin", "Implied rewards", "Log-probabilities", "Gradient norm"):
        assert f"<strong>{curve}</strong>" in page
    assert len(page.encode()) < 200_000


def test_every_picture_is_told_in_words_and_headings_are_in_order(demo):
    page = write_report(demo.path).read_text("utf-8")
    labels = re.findall(r"<svg[^>]*>", page)
    assert len(labels) >= 10
    assert all(re.search(r'role="img" aria-label="[^"]{10,}"', label) for label in labels)
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_nothing_is_fetched_and_nothing_runs(demo):
    seen = Reader(write_report(demo.path).read_text("utf-8"))
    assert {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(seen.tags) == set()
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in ("src", "href", "srcset")]
    policy = next(value for name, value in seen.attributes if name == "content" and "default-src" in (value or ""))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


HOSTILE = [
    "<script>alert(1)</script>",
    '"></p><img src=x onerror=alert(1)>',
    "</title></style><svg onload=alert(1)>",
    "{{ 7*7 }}{% raw %}",
    "]]><!-- --!>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_wherever_it_stands(tmp_path, text):
    folder = tmp_path / text.replace("/", "∕")
    run = Run.create(
        folder,
        config={text: text},
        command=text,
        method=text,
        base_model=text,
        device=text,
        base_model_hash=text,
        data={"form": text, "annotators": {text: 2}},
    )
    run.update_summary({"judge": text, "win_rate": 0.9, "win_rate_ci": [0.8, 1.0], "error": text, "accuracy": text})
    run.add_sample({"prompt": text, "before": [{"role": text, "content": text}], "after": text, "verdict": 1.0})
    run.log(1, {"loss": 0.5, text: 1.0})
    seen = Reader(write_report(folder).read_text("utf-8"))
    assert {"script", "img"} & set(seen.tags) == set()
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert seen.text.count(text) >= 5


def test_bidi_and_control_characters_are_shown_not_obeyed(tmp_path):
    run = dpo_run(tmp_path / "bidi", steps=2)
    run.add_sample({"prompt": "a\u202eb\x00c\ud800", "before": "\u2067x", "after": "שלום\n\tok", "verdict": 0.5})
    page = write_report(run.path).read_text("utf-8")
    assert "a⟨U+202E⟩b⟨U+0000⟩c⟨U+D800⟩" in page
    assert "⟨U+2067⟩x" in page
    assert "שלום\n\tok" in page
    assert not set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068\x00") & set(page)
    assert visible("a\r\nb") == "a\nb"


def test_a_dialogue_shows_its_last_turn_and_hides_the_others(demo):
    turns = [("user", "First question"), ("assistant", "First answer"), ("user", "Second <b>question</b>")]
    prompt = [{"role": role, "content": text} for role, text in turns]
    demo.replace_samples([{"prompt": prompt, "before": "b", "after": "a"}])
    page = write_report(demo.path).read_text("utf-8")
    assert "<summary>2 earlier turns</summary>" in page
    assert "Second &lt;b&gt;question&lt;/b&gt;</h3>" in page
    assert page.index("First answer") < page.index("Second &lt;b&gt;")


def test_a_run_that_only_started(tmp_path):
    run = Run.create(tmp_path / "new", config={}, command="accord dpo")
    seen = Reader(write_report(run.path).read_text("utf-8"))
    assert "Training has not finished: the record ends before its first logged step" in seen.text


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 700])
def test_a_run_of_any_length_that_was_killed(tmp_path, steps):
    run = dpo_run(tmp_path / "killed", steps=steps, evaluated=False, finished=False)
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    page = write_report(run.path).read_text("utf-8")
    assert f"the record ends after step {steps}" in page
    assert "Where training stands" in page
    assert "nan" not in "".join(re.findall(r"<svg.*?</svg>", page))
    assert len(page) < 200_000


def test_trained_but_not_evaluated_says_what_to_run(tmp_path):
    run = dpo_run(tmp_path / "fresh", evaluated=False)
    assert "accord evaluate fresh" in write_report(run.path).read_text("utf-8")


def test_numbers_of_the_wrong_kind_do_not_break_it(demo):
    demo.update_summary({"win_rate": "high", "accuracy_ci": ["low", None], "kl": None, "n_votes": True})
    demo.log(121, {"loss": math.nan, "kl": "x", "rewards/margins": [1]})
    seen = Reader(write_report(demo.path).read_text("utf-8"))
    assert "The loss was no longer a number at step 121" in seen.text


def test_the_report_needs_no_torch(demo):
    code = (
        "import sys; from accord.report import write_report; write_report(sys.argv[1]);"
        "print(sorted({'torch', 'transformers', 'numpy', 'plotly'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code, str(demo.path)], text=True).strip() == "[]"


# What is said


def titles(run):
    return [remark.title for remark in explain(read_facts(run.path))]


def said(run, title):
    return any(title in remark for remark in titles(run))


def curve(path, **series):
    """A finished run with these metrics, one value a step."""
    run = Run.create(path, config={"beta": 0.1}, command="accord dpo", method="dpo")
    for step, values in enumerate(zip(*series.values(), strict=True), 1):
        run.log(step, {name.replace("__", "/"): value for name, value in zip(series, values, strict=True)})
    run.update_summary({"seconds": 1})
    return run


def test_falling_chosen_log_probs_are_explained_only_where_they_fall(tmp_path, demo):
    assert said(demo, "Chosen answers became less likely too: in DPO that is usual")
    falling = {"rewards__chosen": [-i / 10 for i in range(8)]}
    up = curve(tmp_path / "up", rewards__chosen=[i / 10 for i in range(8)], rewards__margins=[i / 5 for i in range(8)])
    assert not said(up, "Chosen answers")
    idle = curve(tmp_path / "idle", **falling, rewards__margins=[0.0] * 8)
    assert said(idle, "Chosen answers became less likely, and gained nothing by it")
    usual = curve(tmp_path / "usual", **falling, rewards__margins=[i / 10 for i in range(8)])
    remark = next(remark for remark in explain(read_facts(usual.path)) if remark.title.startswith("Chosen"))
    assert "6.5 nats less likely" in remark.says  # the last quarter's mean reward −0.65 over β


@pytest.mark.parametrize(
    ("interval", "title"),
    [
        ([0.6, 0.8], "The trained model's answers are preferred"),
        ([0.45, 0.75], "No difference could be shown"),
        ([0.2, 0.4], "The base model's answers are preferred"),
    ],
)
def test_the_outcome_follows_the_interval(demo, interval, title):
    demo.update_summary({"win_rate": sum(interval) / 2, "win_rate_ci": interval})
    assert said(demo, title)


@pytest.mark.parametrize(
    ("interval", "title"),
    [
        ([0.6, 0.8], "It learnt a preference that carries over"),
        ([0.45, 0.7], "On held-out pairs it is no better than chance"),
        ([0.2, 0.4], "On held-out pairs it is worse than chance"),
    ],
)
def test_held_out_accuracy_is_compared_with_chance(demo, interval, title):
    demo.update_summary({"accuracy": sum(interval) / 2, "accuracy_ci": interval})
    assert said(demo, title)


@pytest.mark.parametrize(("kl", "title"), [(0.01, "hardly moved"), (6.0, "within reach"), (45.0, "far from its base")])
def test_kl_is_put_in_words(demo, kl, title):
    demo.update_summary({"kl": kl})
    assert said(demo, title)


def test_length_drift_is_named_with_its_direction(demo):
    assert said(demo, "Answers became shorter")
    demo.update_summary({"words_before": 40, "words_after": 80})
    assert said(demo, "Answers became longer")
    demo.update_summary({"words_after": 42})
    assert not said(demo, "Answers became")


def test_a_loss_that_stands_still_is_told_from_one_that_moves(tmp_path):
    noise = random.Random(1)
    still = curve(tmp_path / "still", loss=[0.693 + noise.gauss(0, 0.02) for _ in range(60)])
    moves = curve(tmp_path / "moves", loss=[0.693 - 0.004 * i + noise.gauss(0, 0.02) for i in range(60)])
    assert said(still, "The loss did not move")
    assert not said(moves, "The loss did not move")


def test_overfitting_needs_a_turn_of_the_held_out_loss(tmp_path):
    assert said(curve(tmp_path / "turns", eval_loss=[0.69, 0.6, 0.55, 0.6, 0.7]), "by heart")
    assert not said(curve(tmp_path / "falls", eval_loss=[0.69, 0.6, 0.55, 0.5, 0.49]), "by heart")


def test_overconfidence_and_rough_figures_are_named(demo):
    demo.update_summary({"calibration_error": 0.3, "log_loss": 1.2, "log_loss_ci": [0.9, 1.5]})
    assert said(demo, "It is surer of its preferences than it should be")
    demo.update_summary({"win_rate": 0.6, "win_rate_ci": [0.4, 0.8]})
    assert said(demo, "The win rate is known only roughly")


def test_simulated_votes_are_never_passed_off_as_people(demo):
    assert said(demo, "No person has voted here")


def test_warnings_come_first(demo):
    demo.update_summary({"kl": 80.0})
    tones = [remark.tone for remark in explain(read_facts(demo.path))]
    assert tones == sorted(tones, key=["warning", "good", "note"].index)


# Small parts


def test_ticks_are_round_and_inside():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(-3, 120) == pytest.approx([0, 50, 100])
    for low, high in [(1e-6, 3e-6), (-1e5, 1e5), (0.691, 0.694)]:
        found = ticks(low, high)
        assert 2 <= len(found) <= 7
        assert low <= min(found) + 1e-12 <= max(found) - 1e-12 <= high


def test_thinning_keeps_the_mean():
    points = [Point(i, i % 7) for i in range(1400)]
    few = thin(points, 200)
    assert len(few) == 200
    assert sum(p.value for p in few) / 200 == pytest.approx(3)


def test_numbers_as_people_write_them():
    assert [percent(x) for x in (0.814, 1.0, 0.9996, 0.0, 0.001)] == [
        "81\u202f%",
        "100\u202f%",
        "100.0\u202f%",
        "0\u202f%",
        "0.1\u202f%",
    ]
    assert [short(x) for x in (0.6931, -12.345, 1234.5, 3e-4, 0)] == ["0.693", "−12.3", "1,234", "3.0e−4", "0"]
    assert [signed(x, 2) for x in (0.1234, -0.5, 0)] == ["+0.12", "−0.5", "0"]
    assert [duration(x) for x in (4.4, 143, 7384)] == ["4 s", "2 min 23 s", "2 h 3 min"]


def test_the_manifest_of_the_snapshot_fills_in_what_run_json_lacks(tmp_path):
    run = Run.create(tmp_path / "bare", config={}, command="accord kto", method="kto", base_model="m")
    run.data.mkdir()
    manifest = {"form": "unpaired", "counts": {"train": 1, "test": 0}, "meta": {"annotators": {"human": 1}}}
    (run.data / "manifest.json").write_text(json.dumps(manifest))
    assert "on 1 rated answer, from the votes of 1 person." in write_report(run.path).read_text("utf-8")


# ---- Reward models


def reward_run(path, **figures):
    """A reward model's run as `accord evaluate` leaves it."""
    run = Run.create(path, config={}, command="accord reward", method="reward")
    shares = {"accuracy": 0.7, "length_longer_wins": 0.6, "length_prefers_longer": 0.62, "length_exaggeration": 0.02}
    for name, value in (shares | figures).items():
        run.update_summary({name: value, f"{name}_ci": [value - 0.05, value + 0.05]})
    run.update_summary({"seconds": 1.0})
    return run


@pytest.mark.parametrize(
    ("figures", "title", "told"),
    [
        ({"length_exaggeration": 0.1}, "It likes length more than people do", "longer answer in 62"),
        (
            {"length_exaggeration": -0.1, "length_longer_wins": 0.4, "length_prefers_longer": 0.3},
            "It likes brevity more than people do",
            "shorter answer in 70",
        ),
        ({"length_share": 0.8}, "Most of what it knows is length", "length alone explains 80"),
        (
            {"length_share": 0.2, "length_longer_wins": 0.46},
            "Length does not explain",
            "“the shorter answer wins” alone",
        ),
        ({"length_share": 0.1, "length_exaggeration": -0.2}, "Length does not explain", "alone is right in 60"),
    ],
)
def test_what_a_reward_model_owes_to_length(tmp_path, figures, title, told):
    run = reward_run(tmp_path / "run", **figures)
    (remark,) = [remark for remark in explain(read_facts(run.path)) if title in remark.title]
    assert told in remark.says


def test_length_is_not_talked_of_where_accuracy_may_be_chance(tmp_path):
    run = reward_run(tmp_path / "run")
    assert not said(run, "ength")


def test_disagreement_of_heads_is_put_in_words(tmp_path):
    heads = {"heads_agree": 0.8, "heads_accuracy_agree": 0.75, "heads_accuracy_split": 0.5}
    assert said(reward_run(tmp_path / "a", heads_difference=0.25, **heads), "Its heads' disagreement warns of errors")
    assert said(reward_run(tmp_path / "b", heads_difference=0.03, **heads), "Its heads' disagreement does not show")


def test_the_dots_of_certainty_stand_where_the_figures_say():
    """½ sure and ½ right is where the line begins, all sure and all right where it ends; a dot's area is its share."""
    svg = reliability_chart([0.5, 1.0], [0.5, 1.0], [0.25, 0.75], "two dots of certainty")
    line = re.search(r'<line class="baseline" x1="(\S+)" y1="(\S+)" x2="(\S+)" y2="(\S+)"', svg).groups()
    dots = re.findall(r'cx="(\S+)" cy="(\S+)" r="(\S+)"', svg)
    assert dots[0][:2] + dots[1][:2] == line
    assert float(dots[1][2]) > float(dots[0][2])
