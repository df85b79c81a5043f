"""What the report shows and says of methods that learn from their own samples, and only where there is data for it."""

import re
from math import sqrt

import pytest

from accord.report import write_report
from accord.report.explain import explain
from accord.report.facts import Point, read_facts
from accord.report.online.figures import cards, figures, more_figures
from accord.report.online.readings import NAMES, change, doubted, series, sources
from accord.report.online.remarks import RULES
from accord.report.online.rollouts import galleries, length_correlation
from accord.runs import Run
from training_kit import make, make_tiny_reward_model

UP = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 2.1]
DOWN = UP[::-1]
FLAT = [1.0, 1.01] * 6


def logged(path, method="rloo", summary=None, config=None, rollouts=(), data=None, **metrics):
    """A run with one value a step of each metric."""
    run = Run.create(path, config=config or {}, command=f"accord {method}", method=method, base_model="m", data=data)
    names = [name.replace("__", "/") for name in metrics]
    for step, values in enumerate(zip(*metrics.values(), strict=True), 1):
        run.log(step, dict(zip(names, values, strict=True)))
    for step, prompt, completion, reward in rollouts:
        run.log_rollout(step - 1, [{"prompt": prompt, "completion": completion, "reward": reward, "finished": True}])
    run.update_summary({"seconds": 1.0, **(summary or {})})
    return read_facts(run.path)


def remark(facts, title):
    (found,) = [remark for remark in explain(facts) if title in remark.title]
    return found


def test_a_change_is_of_the_first_eighth_and_the_last_quarter():
    """0, 2, 0, 2, …: neighbours differ by 2, so σ² = 4/2; the means are of 1 and of 2 points."""
    points = [Point(step, 2.0 * (step % 2)) for step in range(8)]
    assert change(points) == pytest.approx((0.0, 1.0, 2 * sqrt(2 / 1 + 2 / 2)))
    assert change(points[:3]) is None
    went = change([Point(step, value) for step, value in enumerate(UP)])
    assert went.rose
    assert not went.fell


@pytest.mark.parametrize("method", ["ppo", "rloo", "grpo"])
def test_what_trainers_log_is_what_the_report_reads(tmp_path, byte_tokenizer, method):
    """A run of each trainer: every curve there is for its method has numbers."""
    path = tmp_path / "a run"
    data = {"form": "prompt", "counts": {"train": 12}}
    run = Run.create(path, config={}, command=f"accord {method}", method=method, data=data)
    given, changes = {"on_rollout": run.log_rollout}, {}
    if method == "ppo":
        reward_model = make_tiny_reward_model(byte_tokenizer, heads=2)
        given |= {"reward_funcs": reward_model, "reward_processing_classes": byte_tokenizer}
    else:
        changes = {"beta": 0.1}
    trainer = make(method, tmp_path, byte_tokenizer, max_steps=4, given=given, **changes)
    trainer.train()
    for record in trainer.state.log_history:
        run.log(record["step"], record)
    facts = read_facts(path)
    groups_only = {"equal groups", "sampler's error"}
    ppo_only = {"reward less KL", "kl coefficient", "value loss", "values clipped", "explained variance"}
    unknown = {what for what in NAMES if not series(facts, what)}
    assert unknown == (groups_only if method == "ppo" else ppo_only)
    assert doubted(facts) == (sources(facts) if method == "ppo" else [])
    page = write_report(path).read_text("utf-8")
    for title in ("Reward", "Reward over KL", "KL from the reference", "Length", "Entropy", "Time"):
        assert f"<strong>{title}</strong>" in page
    assert "What it wrote, and what that earned" in page
    assert f"on 12 prompts, rewarded by “{sources(facts)[0]}”" in page


def test_the_budget_is_a_line_and_kl_is_drawn_with_it(tmp_path):
    facts = logged(tmp_path / "run", config={"kl_budget": 5.0}, reward=UP, kl_per_completion=UP)
    figure = next(figure for figure in figures(facts) if figure.title == "KL from the reference")
    assert "The line is the budget, 5" in figure.says
    assert figure.svg.count('class="baseline"') == 1
    assert max(map(float, re.findall(r'class="tick"[^>]*text-anchor="end">([\d.]+)<', figure.svg))) >= 4


def test_reward_over_kl_is_the_path_of_steps_that_have_both(tmp_path):
    facts = logged(tmp_path / "run", "ppo", objective__scores=UP, objective__kl=[None, *UP[1:]])
    figure = next(figure for figure in figures(facts) if figure.title == "Reward over KL")
    assert figure.svg.count("<circle") == 11
    assert figure.table[0] == ["step", "KL", "reward"]
    assert figure.table[1] == ["2", "1.1", "1.1"]
    assert figure.table[-1] == ["12", "2.1", "2.1"]


def test_trls_kl_of_a_token_becomes_that_of_a_completion(tmp_path):
    facts = logged(tmp_path / "run", "grpo", kl=[0.1, 0.2], completions__mean_length=[10, 30])
    assert series(facts, "kl") == [Point(1, 1.0), Point(2, 6.0)]


def test_curves_that_are_zero_throughout_are_left_out_but_for_reward(tmp_path):
    zero, some = [0.0] * 4, [0.0, 0.1, 0.0, 0.1]
    once = logged(tmp_path / "a", clip_ratio__region_mean=zero, entropy=some)
    more = logged(tmp_path / "b", clip_ratio__region_mean=some, entropy=some)
    assert [figure.title for figure in figures(once)] == ["Entropy"]
    assert [figure.title for figure in figures(more)] == ["Entropy", "Clipped"]
    assert more_figures(once) == []
    assert [figure.title for figure in figures(logged(tmp_path / "c", reward=zero))] == ["Reward"]


def test_cards_tell_the_end_and_the_beginning(tmp_path):
    facts = logged(tmp_path / "run", reward=UP, completions__clipped_ratio=[0.0] * 9 + [0.5] * 3)
    reward, cut = cards(facts)
    assert (reward.value, reward.note) == ("2", "last quarter of training; 1 at first")
    assert cut.value == "50\u202f%"


# ---- What is said

SAID = [
    ("Reward rose", {"reward": UP}, {}, "From 1 to 2 in the last quarter"),
    ("Reward fell", {"objective__scores": DOWN}, {}, "From 2.1 to 1.1"),
    ("Reward did not rise beyond chance", {"reward": FLAT}, {}, "by chance, ±"),
    ("KL passed its budget", {"objective__kl": UP}, {"kl_budget": 2.0}, "2.1 nats a completion, at step 12"),
    ("KL stayed within its budget", {"objective__kl": UP}, {"kl_budget": 3.0}, "the budget is 3"),
    ("far from its reference", {"objective__kl": [20 * x for x in UP]}, {}, "42 nats a completion at step 12"),
    (
        "became longer as reward rose",
        {"reward": UP, "completions__mean_length": [10 * x for x in UP]},
        {},
        "From 10 tokens to 20: 100\u202f% longer",
    ),
    ("became shorter as reward rose", {"reward": UP, "completions__mean_length": DOWN}, {}, "shorter"),
    ("Completions became longer", {"reward": FLAT, "completions__mean_length": UP}, {}, "Reward did not rise with it"),
    ("Entropy collapsed", {"policy__entropy_avg": [x - 0.9 for x in DOWN]}, {}, "From 1.2 to 0.2 nats a token"),
    ("Most groups taught nothing", {"frac_reward_zero_std": [0.6] * 4}, {}, "In 60\u202f% of the groups"),
    (
        "Most completions were cut off",
        {"completions__clipped_ratio": [0.0, 0.2, 0.4, 0.8]},
        {"max_completion_length": 64},
        "80\u202f% reached the limit of 64 tokens",
    ),
    ("The clip stopped", {"policy__clipfrac_avg": [0.4] * 4}, {}, "40\u202f% of what was learnt"),
    ("heads disagree more and more", {"rewards__rm__disagreement__mean": UP}, {}, "from 1 to 2 (“rm”)"),
    (
        "paid for with another",
        {"reward": UP, "rewards__a__mean": UP, "rewards__b__mean": DOWN},
        {"reward_weights": [1.0, 0.5]},
        "“b” from 2.1 to 1.1",
    ),
    ("The critic foresees nothing", {"val__explained_variance": [0.5, 0.1, -0.2, -0.5]}, {}, "explains −0.5"),
]


@pytest.mark.parametrize(("title", "metrics", "config", "told"), SAID, ids=[title for title, *_ in SAID])
def test_what_is_said_has_its_number(tmp_path, title, metrics, config, told):
    assert told in remark(logged(tmp_path / "run", config=config, **metrics), title).says


SILENT = [
    {"reward": UP[:3]},
    {"completions__mean_length": FLAT},
    {"policy__entropy_avg": DOWN},  # to 1.1 of 2.1: more than half is left
    {"frac_reward_zero_std": [0.4] * 4},
    {"completions__clipped_ratio": [0.9, 0.9, 0.9, 0.4]},
    {"rewards__rm__disagreement__mean": FLAT},
    {"objective__kl": UP},
    {"val__explained_variance": [-0.5, 0.1, 0.2, 0.3]},
]


@pytest.mark.parametrize("metrics", SILENT, ids=[next(iter(metrics)) for metrics in SILENT])
def test_nothing_is_said_without_reason(tmp_path, metrics):
    facts = logged(tmp_path / "run", **metrics)
    assert [found for rule in RULES if (found := rule(facts))] == []


def test_a_source_with_a_negative_weight_is_meant_to_fall(tmp_path):
    metrics = {"reward": UP, "rewards__a__mean": UP, "rewards__b__mean": DOWN}
    facts = logged(tmp_path / "run", config={"reward_weights": [1.0, -1.0]}, **metrics)
    assert not any("paid for" in found.title for found in explain(facts))


def test_why_it_stopped_is_said_once(tmp_path):
    why = "the KL from the reference is 7.15 nats a completion, over kl_budget 6"
    facts = logged(tmp_path / "run", config={"kl_budget": 6.0}, summary={"stopped": why}, kl_per_completion=UP)
    found = remark(facts, "Training stopped early, after step 12")
    assert found.says == f"T{why[1:]}."
    assert not any("budget" in other.title for other in explain(facts))


@pytest.mark.parametrize(
    ("last", "title"),
    [(2.0, "earn more too"), (1.1, "about as much as before"), (0.0, "earn less")],
)
def test_held_out_reward_is_held_against_its_chance(tmp_path, last, title):
    """Deviations of 1 and 1 over 50 prompts: two standard errors are 2·√2/√50 = 0.4."""
    metrics = {"eval_reward": [1.0, last], "eval_reward_std": [1.0, 1.0]}
    facts = logged(tmp_path / "run", data={"counts": {"test": 50}}, **metrics)
    assert "each of 50 held-out prompts; by chance, ±0.4." in remark(facts, title).says
    assert not any("eld-out" in found.title for found in explain(logged(tmp_path / "unknown number", **metrics)))


@pytest.mark.parametrize(
    ("interval", "title"),
    [([0.1, 0.5], "score higher"), ([-0.1, 0.5], "about the same"), ([-0.5, -0.1], "score lower")],
)
def test_scores_of_held_out_answers(tmp_path, interval, title):
    figures = {"reward_before": 1.0, "reward_after": 1.25, "reward_difference": 0.25}
    summary = figures | {f"{name}_ci": interval for name in figures}
    run = logged(tmp_path / "run", summary=summary)
    assert "changed by +0.25" in remark(run, title).says
    assert "Scores of answers" in write_report(run.path).read_text("utf-8")


def test_a_policy_gradient_loss_is_not_expected_to_fall(tmp_path):
    assert not any("loss did not move" in found.title for found in explain(logged(tmp_path / "run", loss=[0.0] * 12)))


# ---- What it wrote


def test_the_same_prompts_early_and_late(tmp_path):
    told = [(1, "a", "first", 0.0), (1, "b", "only", 0.5), (2, "a", "second", 0.1), (4, "a", "late", 1.0)]
    same, extremes = galleries(logged(tmp_path / "run", rollouts=told))
    assert [(left.completion, right.completion) for left, right in same.pairs] == [("first", "late")]
    assert [(left.reward, right.reward) for left, right in extremes.pairs] == [(1.0, 0.0), (0.5, 0.1)]
    assert "early and late" in same.title


def test_typical_completions_where_no_prompt_came_again(tmp_path):
    """Of rewards 0, 5, 9 the median is 5; of 1, 7, 8 it is 7."""
    told = [(1, f"a{x}", f"early {x}", x) for x in (0.0, 5.0, 9.0)]
    told += [(9, f"b{x}", f"late {x}", x) for x in (1.0, 7.0, 8.0)]
    typical, _ = galleries(logged(tmp_path / "run", rollouts=told))
    assert typical.title == "Typical completions, early and late"
    assert typical.pairs[0][0].completion == "early 5.0"
    assert typical.pairs[0][1].completion == "late 7.0"


def test_reward_and_length_are_correlated_within_steps(tmp_path):
    """Rewards rise from step to step while lengths stay: only what differs within a step counts."""
    told = [(step, "p", "x" * n, 100.0 * step - n) for step in range(1, 11) for n in (1, 5, 9)]
    assert length_correlation(logged(tmp_path / "run", rollouts=told)) == pytest.approx(-1)
    assert length_correlation(logged(tmp_path / "few", rollouts=told[:12])) is None
    facts = logged(tmp_path / "said", rollouts=told, reward=UP, completions__mean_length=UP)
    assert "correlate by −1." in remark(facts, "became longer").says


def test_hostile_and_odd_rollouts_are_text(tmp_path):
    bad = "</p><script>alert(1)</script>\u202e"
    facts = logged(tmp_path / "run", rollouts=[(1, bad, bad, 0.0), (9, bad, [{"role": bad, "content": bad}] * 2, 1.0)])
    run = Run.open(facts.path)
    run.log_rollout(3, [{"prompt": "no reward"}, {"prompt": [], "completion": None, "reward": float("nan")}])
    page = write_report(facts.path).read_text("utf-8")
    assert "<script" not in page
    assert "\u202e" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_the_thresholds_are_on_the_page_of_methods_that_sample_alone(tmp_path):
    assert "How this is decided" in write_report(logged(tmp_path / "a", reward=UP).path).read_text("utf-8")
    assert "How this is decided" not in write_report(logged(tmp_path / "b", "dpo", loss=UP).path).read_text("utf-8")
