"""Runs side by side: what differs, what was measured, on the same axes, the same prompts."""

import pytest

from accord.report.facts import read_facts
from accord.report.side_by_side import beside, curves, differing, figures
from accord.runs import Run


@pytest.fixture
def run(tmp_path):
    """Makes a run, and gives its facts once `done`."""

    def made(name, method="dpo", config=None, summary=None, metrics=(), samples=(), **info):
        run = Run.create(tmp_path / name, config=config or {}, command="accord dpo", method=method, **info)
        for step, record in enumerate(metrics, 1):
            run.log(step, record)
        for sample in samples:
            run.add_sample(sample)
        run.update_summary(summary or {})
        return read_facts(run.path)

    return made


def sample(prompt, after, before="So.", **more):
    return {"prompt": prompt, "before": before, "after": after, **more}


def test_settings_that_differ_have_a_row_and_the_others_are_counted(run):
    one = run("one", config={"beta": 0.1, "lora_r": 16, "output_dir": "runs/one"}, seed=1, base_model="small")
    other = run("other", config={"beta": 0.3, "lora_r": 16, "output_dir": "runs/other", "kl_coef": 0.1}, seed=1)
    rows, same = differing([one, other])
    assert rows == [["Base model", "small", "–"], ["beta", "0.1", "0.3"], ["kl_coef", "–", "0.1"]]
    assert same == len({"Method", "Seed", "Versions", "lora_r"})


def test_figures_stand_beside_each_other_with_their_intervals(run):
    one = run("one", summary={"win_rate": 0.8, "win_rate_ci": [0.7, 0.9], "judge": "concise", "kl": 3.0, "seconds": 61})
    other = run("other", summary={"accuracy": 0.6, "kl": 2.0, "kl_ci": [1.5, 2.5]})
    table = figures([one, other])
    assert table.head == ["one", "other"]
    assert table.rows == [
        ["Judge", "concise", "–"],
        ["Win rate over the base", "80\u202f% [70\u202f% to 90\u202f%]", "–"],
        ["Held-out accuracy", "–", "60\u202f%"],
        ["KL from the base, nats an answer", "–", "2 [1.5 to 2.5]"],  # without bounds, kl is a training metric
        ["Time", "1 min 1 s", "–"],
    ]
    assert figures([run("new"), run("newer")]) is None


def test_curves_lie_over_each_other_on_the_same_axes(run):
    one = run("one", metrics=[{"loss": 0.7, "rewards/chosen": 0.1}, {"loss": 0.5}, {"eval_loss": 0.6}])
    other = run("other", metrics=[{"loss": 0.9}, {"loss": 0.2}])
    loss, chosen = curves([one, other], beside([one, other]).models)
    assert (loss.title, chosen.title) == ("Loss", "Implied rewards: chosen")
    assert [name for name, *_ in loss.keys] == ["one", "other"]
    assert len({tone for _, tone, _ in loss.keys}) == 2
    assert loss.table == [["step", "one", "one, held out", "other"], ["1", "0.7", "", "0.9"], ["2", "0.5", "", "0.2"],
                          ["3", "", "0.6", ""]]  # fmt: skip
    assert [name for name, *_ in chosen.keys] == ["one"]


def test_methods_that_sample_are_drawn_with_others_where_they_log_the_same(run):
    rloo = run("rloo", "rloo", metrics=[{"reward": 1.0, "kl_per_completion": 2.0, "learning_rate": 1e-5}] * 2)
    ppo = run("ppo", "ppo", metrics=[{"objective/scores": 3.0, "objective/kl": 4.0, "learning_rate": 1e-6}] * 2)
    dpo = run("dpo", metrics=[{"learning_rate": 1e-4}] * 2)
    found = {figure.title: figure.table[0] for figure in curves([rloo, ppo, dpo], beside([rloo, ppo, dpo]).models)}
    assert found["Reward"] == ["step", "rloo", "ppo"]
    assert found["KL from the base"] == ["step", "rloo", "ppo"]
    assert found["Learning rate"] == ["step", "rloo", "ppo", "dpo"]


def test_answers_to_the_same_prompts_stand_beside_each_other(run):
    chat = [{"role": "user", "content": "Why?"}]
    one = run("one", samples=[sample(chat, "Because.", verdict=1), sample(chat, "Since."), sample("Alone?", "Yes.")])
    other = run("other", samples=[sample(chat, "It is.", finished=[True, False]), sample(chat, "Therefore.")])
    (asked,) = beside([one, other]).prompts
    assert asked.prompt == "Why?"
    first, second = [[(shown.model.name, shown.text) for shown in row] for row in asked.samples]
    assert first == [("base", "So."), ("one", "Because."), ("other", "It is.")]
    assert second == [("base", "So."), ("one", "Since."), ("other", "Therefore.")]
    assert [shown.verdict for shown in asked.samples[0]] == [None, 1, None]
    assert [shown.finished for shown in asked.samples[0]] == [True, True, False]


def test_the_bases_answer_is_left_out_where_it_is_not_the_same(run):
    one, other = run("one", samples=[sample("Why?", "A", "x")]), run("other", samples=[sample("Why?", "B", "y")])
    (asked,) = beside([one, other]).prompts
    assert [shown.model.name for shown in asked.samples[0]] == ["one", "other"]
