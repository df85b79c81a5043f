"""`accord compare` on small real models: who is asked what, what is kept, what the figures and the page say."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from accord.cli.ask_models import draw_name
from accord.cli.held_out import questions
from accord.cli.main import app
from accord.evaluation import by_score, holm, round_robin, sign_flip
from accord.exchange.snapshot import write_snapshot
from accord.policy.load import load_policy
from accord.policy.reward_model import load_reward_model, reward_rows
from accord.report.comparison import read_comparison, write_comparison
from accord.report.comparison.page import FOLDED, fold
from accord.report.comparison.remarks import remarks
from accord.rollout.sample import Sampler
from accord.runs import Run
from conftest import make_tiny_llama
from openai_server import start, stop
from test_report import HOSTILE, Reader
from training_kit import make_tiny_reward_model

SHORT = ("--max-new-tokens", 12)
PROMPTS = ["What is rain?", "Say hello.", "Why is the sky blue?", "Name a tree.", "Count to three."]


def make_run(path, base, model, tokenizer, method="dpo", train=(), test=()):
    run = Run.create(path, config={"dtype": "float32"}, command="accord", method=method, base_model=str(base))
    rows = {split: [{"id": p, "prompt": p} for p in some] for split, some in (("train", train), ("test", test))}
    write_snapshot(run.data, "prompt", rows)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return run


@pytest.fixture
def runs(tmp_path, tiny_model_dir, byte_tokenizer):
    """Two models that began with the same one and differ from it in every weight."""
    return [
        make_run(tmp_path / name, tiny_model_dir, make_tiny_llama(byte_tokenizer, seed), byte_tokenizer, name)
        for seed, name in ((1, "dpo"), (2, "kto"))
    ]


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(PROMPTS))
    return file


def accord(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def compared(out, *arguments):
    result = accord(*arguments, *SHORT, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["models"] == read(out)["models"]
    return read(out)


def read(out):
    return json.loads(out.with_suffix(".json").read_text("utf-8"))


def kept(out):
    return out.with_suffix(".answers.jsonl").read_text("utf-8").splitlines()


def texts(record, name):
    return [each["answers"][name]["text"] for each in record["prompts"]]


def test_what_is_reported_is_what_the_models_say(runs, prompts, tmp_path, tiny_model_dir):
    """Against the sampler's own answers, and plain forward passes over their tokens."""

    record = compared(tmp_path / "c.html", *(run.path for run in runs), "--prompts", prompts, "--judge", "shorter")
    assert [model["name"] for model in record["models"]] == ["base", "dpo", "kto"]
    policy, base = (load_policy(place) for place in (runs[0].path, tiny_model_dir))
    asked = questions(runs[0], prompts, [])
    sampler = Sampler(policy.model, policy.tokenizer)
    names = list(map(draw_name, asked))
    drawn = sampler.sample([each.content for each in asked], names=names, max_new_tokens=12, seed=0)
    log_ratios = []
    for sampled in sorted(drawn, key=lambda each: each.prompt):
        assert record["prompts"][sampled.prompt]["answers"]["dpo"]["text"] == sampled.text
        ids = sampler.prompt_ids(asked[sampled.prompt].content)
        with torch.no_grad():
            whole = torch.tensor([ids + sampled.tokens])
            each = [
                model(whole).logits[0, len(ids) - 1 : -1].double().log_softmax(-1) for model in (policy[0], base[0])
            ]
        of_policy, of_base = (logps[range(len(sampled.tokens)), sampled.tokens].sum().item() for logps in each)
        log_ratios.append(of_policy - of_base)
    assert record["models"][1]["kl"] == pytest.approx(np.mean(log_ratios), rel=1e-4)
    assert record["models"][1]["kl"] > 1
    assert "kl" not in record["models"][0]
    lengths = {name: [len(text.split()) for text in texts(record, name)] for name in ("base", "dpo", "kto")}
    assert record["models"][1]["words"] == np.mean(lengths["dpo"])
    assert min(map(min, lengths.values())) > 0, "silence is no short answer"
    match = next(match for match in record["matches"] if (match["first"], match["second"]) == ("kto", "dpo"))
    shorter = np.sign(np.subtract(lengths["dpo"], lengths["kto"]))
    assert match["win_rate"] == np.mean((shorter + 1) / 2)


def test_kept_answers_are_not_asked_again(runs, prompts, tmp_path):
    out = tmp_path / "c.html"
    first = compared(out, runs[0].path, "--prompts", prompts)
    before = kept(out)
    both = compared(out, *(run.path for run in runs), "--prompts", prompts, "--judge", "concise")
    assert kept(out)[: len(before)] == before
    assert {json.loads(line)["name"] for line in kept(out)[len(before) :]} == {"kto"}
    assert texts(both, "base") == texts(first, "base")
    assert "win_rate" not in first["models"][1]
    assert both["models"][2]["win_rate_ci"][0] <= both["models"][2]["win_rate"] <= both["models"][2]["win_rate_ci"][1]


def test_an_interrupted_comparison_goes_on_to_the_same_answers(runs, prompts, tmp_path):
    whole = compared(tmp_path / "whole.html", runs[0].path, "--prompts", prompts, "--samples", 2)
    lines = kept(tmp_path / "whole.html")
    torn = "\n".join([*lines[:3], *lines[10:14], lines[14][:20]])
    (tmp_path / "torn.answers.jsonl").write_text(torn, "utf-8")
    again = compared(tmp_path / "torn.html", runs[0].path, "--prompts", prompts, "--samples", 2)
    assert again["prompts"] == whole["prompts"]
    assert sorted(map(answer_of, kept(tmp_path / "torn.html"))) == sorted(map(answer_of, lines))


def answer_of(line):
    record = json.loads(line)
    return record["name"], record["prompt"], record["sample"], record["text"]


def test_an_answer_does_not_depend_on_what_else_is_asked(runs, prompts, tmp_path):
    five = compared(tmp_path / "five.html", runs[0].path, "--prompts", prompts)
    (tmp_path / "last.txt").write_text(PROMPTS[-1])
    one = compared(tmp_path / "one.html", runs[0].path, "--prompts", tmp_path / "last.txt")
    assert one["prompts"][0]["answers"]["dpo"]["text"] == five["prompts"][-1]["answers"]["dpo"]["text"]


def test_a_run_that_was_trained_again_is_asked_again(runs, prompts, tmp_path, byte_tokenizer):
    out = tmp_path / "c.html"
    first = compared(out, runs[0].path, "--prompts", prompts)
    make_tiny_llama(byte_tokenizer, seed=7).save_pretrained(runs[0].path)
    second = compared(out, runs[0].path, "--prompts", prompts)
    assert texts(first, "dpo") != texts(second, "dpo")
    assert texts(first, "base") == texts(second, "base")


def test_a_model_that_is_the_base_ties_with_it(tmp_path, tiny_model_dir, byte_tokenizer, prompts):
    run = make_run(tmp_path / "same", tiny_model_dir, make_tiny_llama(byte_tokenizer), byte_tokenizer)
    record = compared(tmp_path / "c.html", run.path, "--prompts", prompts, "--judge", "longer")
    same = record["models"][1]
    assert texts(record, "same") == texts(record, "base")
    assert (same["win_rate"], same["ties"]) == (0.5, len(PROMPTS))
    assert same["kl"] == pytest.approx(0, abs=1e-4)
    assert record["matches"][0]["p"] == 1


def test_a_reward_model_scores_and_judges(runs, prompts, tmp_path, byte_tokenizer):
    place = tmp_path / "rewards"
    make_tiny_reward_model(byte_tokenizer, seed=3).save_pretrained(place)
    byte_tokenizer.save_pretrained(place)
    out = tmp_path / "c.html"
    record = compared(out, *(run.path for run in runs), "--prompts", prompts, "--reward-model", place)
    scorer = load_reward_model(place)
    rows = [
        {
            "prompt": each["prompt"],
            **{
                name: [{"role": "assistant", "content": each["answers"][name]["text"]}]
                for name in ("base", "dpo", "kto")
            },
        }
        for each in record["prompts"]
    ]
    scores = reward_rows(scorer.model, scorer.tokenizer, rows, ("base", "dpo", "kto"))[..., 0]
    assert [model["reward"] for model in record["models"]] == pytest.approx(scores.mean(0), rel=1e-4)
    dpo = (np.sign(scores[:, 1] - scores[:, 0]) + 1) / 2
    assert record["models"][1]["win_rate"] == pytest.approx(dpo.mean())
    assert record["judge"]["kind"] == "reward_model"


def test_a_language_model_scores_and_judges(runs, prompts, tmp_path):
    """One that counts letters: it sees prompt and answer, and its scores decide."""

    def grade(path, body):
        question = body["messages"][0]["content"]
        answer = question.split("<answer>\n")[1].split("\n</answer>")[0]
        assert any(prompt in question for prompt in PROMPTS)
        return 200, {"choices": [{"message": {"content": f"Score: {min(len(answer), 10)}"}}]}

    server = start(grade)
    try:
        given = ("--judge-url", server.url, "--judge-model", "counter")
        record = compared(tmp_path / "c.html", runs[0].path, "--prompts", prompts, *given)
    finally:
        stop(server)
    scores = {name: [min(len(text), 10) for text in texts(record, name)] for name in ("base", "dpo")}
    assert [model["score"] for model in record["models"]] == pytest.approx([np.mean(each) for each in scores.values()])
    ahead = np.sign(np.subtract(scores["dpo"], scores["base"]))
    assert record["models"][1]["win_rate"] == np.mean((ahead + 1) / 2)
    assert "“counter” is a language model" in (tmp_path / "c.html").read_text("utf-8")


def test_without_prompts_what_no_run_has_seen_is_asked(tmp_path, tiny_model_dir, byte_tokenizer):
    model = make_tiny_llama(byte_tokenizer, seed=1)
    one = make_run(tmp_path / "one", tiny_model_dir, model, byte_tokenizer, train=["a", "b"], test=["c", "d"])
    two = make_run(tmp_path / "two", tiny_model_dir, model, byte_tokenizer, train=["c"], test=["a", "e"])
    record = compared(tmp_path / "c.html", one.path, two.path)
    assert [each["prompt"] for each in record["prompts"]] == ["d", "e"]
    assert record["seen_in_training"] == {}
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in "abx"))
    record = compared(tmp_path / "c.html", one.path, two.path, "--prompts", tmp_path / "p.jsonl")
    assert record["seen_in_training"] == {"one": 2}
    assert "In training were already: one 2 prompts, of 3." in (tmp_path / "c.html").read_text("utf-8")


def test_runs_of_different_bases_need_one_named(runs, prompts, tmp_path, byte_tokenizer):
    other = make_tiny_llama(byte_tokenizer, seed=9)
    run = make_run(tmp_path / "other", runs[0].path, other, byte_tokenizer)
    refused = accord(runs[0].path, run.path, "--prompts", prompts, "--out", tmp_path / "c.html")
    assert refused.exit_code == 1
    assert "the runs began with different models (dpo with" in refused.stderr
    assert refused.stderr.count("\n") == 1
    record = compared(tmp_path / "c.html", run.path, runs[1].path, "--base", runs[0].path, "--prompts", prompts)
    assert record["models"][0]["source"] == str(runs[0].path)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--judge", "mother"], "--judge mother: the judges are"),
        (["--judge", "longer", "--judge-url", "http://x/v1", "--judge-model", "m"], "exclude each other"),
        (["--judge-url", "http://x/v1"], "belong together"),
        (["--reward-model", "RUN"], "trained by accord dpo, so it gives no scores"),
        (["--out", "figures.json"], "name the page, such as figures.html"),
        ([], "no prompt is held out"),
    ],
)
def test_what_cannot_be_is_one_line(runs, tmp_path, prompts, arguments, why):
    given = ["--prompts", prompts, "--max-prompts", 1] if arguments else []
    arguments = [str(runs[0].path) if word == "RUN" else word for word in arguments]
    result = accord(runs[0].path, "--out", tmp_path / "c.html", *arguments, *given, *SHORT)
    assert result.exit_code == 1
    assert why in result.stderr
    assert result.stderr.strip().count("\n") == 0


def test_a_file_that_holds_something_else_is_named(runs, prompts, tmp_path):
    (tmp_path / "c.answers.jsonl").write_text('{"name": "dpo"}\n')
    result = accord(runs[0].path, "--prompts", prompts, "--out", tmp_path / "c.html")
    assert result.exit_code == 1
    assert "c.answers.jsonl:1: 'model' is missing" in result.stderr


def test_a_reward_run_is_sent_elsewhere_and_no_run_twice(tmp_path, runs, tiny_model_dir, byte_tokenizer):
    reward = make_run(tmp_path / "rm", tiny_model_dir, make_tiny_llama(byte_tokenizer), byte_tokenizer, "reward")
    assert "give it as --reward-model" in accord(reward.path).stderr
    assert "is there twice" in accord(runs[0].path, runs[0].path).stderr


# The figures


def test_round_robin_by_hand():
    """b beats a on three prompts of four and ties once; c's answers are a's."""
    answers = {"a": ["x"] * 4, "b": ["xx", "xx", "xx", "x"], "c": ["x"] * 4}
    matches = round_robin(list("1234"), answers, by_score(lambda _, text: len(text)))
    assert [(m.first, m.second, m.report.win_rate.value) for m in matches] == [
        ("b", "a", 0.875), ("c", "a", 0.5), ("c", "b", 0.125),
    ]  # fmt: skip
    assert matches[1].p == matches[1].p_holm == 1


def test_sign_flip_by_hand():
    """Five equal leads: 2 of the 32 sign patterns are as far out. Two answers a prompt flip as one."""
    assert sign_flip([0.5] * 5) == pytest.approx(2 / 32, abs=0.01)
    assert sign_flip([0.5] * 4, ["a", "a", "b", "b"]) == pytest.approx(2 / 4, abs=0.02)
    assert sign_flip([0.5] * 60) == 1 / 10_000
    assert sign_flip([0.5, -0.5]) == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([]) == []


# The page


def figures(**changes):
    """A comparison of four as `accord compare` writes it."""
    shares = {"dpo": (0.78, 0.65, 0.9, 6.0), "kto": (0.6, 0.45, 0.74, 3.1), "ppo": (0.7, 0.55, 0.83, 41.0)}
    trained = [
        {
            "name": name, "method": name, "source": f"/runs/{name}", "words": 40.0, "words_ci": [36.0, 44.0], "kl": kl,
            "kl_ci": [kl - 1, kl + 1], "win_rate": rate, "win_rate_ci": [low, high], "finished": 0.9, "score": 0.4,
        }
        for name, (rate, low, high, kl) in shares.items()
    ]  # fmt: skip
    base = {"name": "base", "method": "", "source": "smollm2", "words": 80.0, "finished": 0.4, "score": -0.5}
    pairs = [("dpo", "base"), ("kto", "base"), ("ppo", "base"), ("kto", "dpo"), ("ppo", "dpo"), ("ppo", "kto")]
    matches = [
        {"first": one, "second": other, "win_rate": 0.6, "win_rate_ci": [0.5, 0.7], "p": 0.01, "p_holm": 0.03 * i}
        for i, (one, other) in enumerate(pairs)
    ]
    long = " ".join(["word"] * 200)
    prompts = [
        {
            "prompt": f"Question {i}",
            "answers": {
                name: {"text": long if name == "base" else f"{name} says {i}", "finished": name != "base", "score": 1.5}
                | ({} if name == "base" else {"verdict": 1.0})
                for name in ("base", *shares)
            },
        }
        for i in range(9)
    ]
    record = {
        "at": "2026-01-02T03:04:05+00:00", "judge": {"name": "concise", "kind": "taste"}, "n_prompts": 9, "samples": 1,
        "decoding": {"temperature": 1.0, "max_new_tokens": 64, "seed": 0}, "models": [base, *trained],
        "matches": matches, "prompts": prompts, "command": "accord compare dpo kto ppo",
    }  # fmt: skip
    return record | changes


def page_of(tmp_path, record):
    file = tmp_path / "c.json"
    file.write_text(json.dumps(record))
    return write_comparison(file, tmp_path / "c.html").read_text("utf-8")


def test_the_whole_page(tmp_path):
    page = page_of(tmp_path, figures())
    seen = Reader(page)
    assert {"script", "link", "img", "iframe", "form"} & set(seen.tags) == set()
    assert not [name for name, _ in seen.attributes if name.startswith("on") or name in ("src", "href", "srcset")]
    assert "smollm2 and 3 models trained from it answered the same 9 prompts, with the same seeds." in seen.text
    for told in ("78 %", "KL 6", "Each against each", "Win rate over distance", "beats base", "64 tokens"):
        assert told in seen.text, told
    assert seen.text.count("kto says 3") == 1
    assert "“concise” is a program: the stated taste of a simulated annotator." in seen.text
    assert len(page) < 120_000


def test_remarks_follow_the_figures(tmp_path):
    def titles(**changes):
        (tmp_path / "c.json").write_text(json.dumps(figures(**changes)))
        return [remark.title for remark in remarks(read_comparison(tmp_path / "c.json"))]

    found = titles()
    assert "Better than the base: dpo, ppo" in found
    assert "Far from the base: ppo" in found
    assert "Many answers were cut off: base" in found
    assert "The trained models cannot be told apart" in found
    assert "Not all prompts are new to the models" in titles(seen_in_training={"dpo": 3})
    assert "Nobody judged" in titles(judge=None)


def test_both_sides_of_a_match(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps(figures()))
    comparison = read_comparison(tmp_path / "c.json")
    (rate, stands), (mirrored, _) = comparison.match("kto", "base"), comparison.match("base", "kto")
    assert (rate.value, rate.low, rate.high, stands) == (0.6, 0.5, 0.7, True)
    assert mirrored == pytest.approx((0.4, 0.3, 0.5))
    assert not comparison.match("ppo", "kto")[1]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_wherever_it_stands(tmp_path, text):
    record = figures(judge={"name": text, "kind": "taste"}, command=text, seen_in_training={text: 1})
    for i, model in enumerate(record["models"]):
        model |= {"name": f"{text}{i}", "method": text, "source": text}
    record["matches"] = []
    answer = {"text": text, "finished": True, "score": 1.0, "verdict": 0.5}
    names = [model["name"] for model in record["models"]]
    record["prompts"] = [{"prompt": text, "answers": dict.fromkeys(names, answer)}]
    seen = Reader(page_of(tmp_path, record))
    assert {"script", "img"} & set(seen.tags) == set()
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert seen.text.count(text) >= 8


def test_long_answers_are_folded_without_losing_a_word():
    text = "One  two\n\n" + " ".join(str(i) for i in range(FOLDED)) + "\n- end"
    shown, rest = fold(text)
    assert shown.startswith("One  two\n\n0 1")
    assert (shown + " " + rest).split() == text.split()
    assert fold("short") == ("short", "")


def test_figures_of_something_else_are_refused(tmp_path):
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(ValueError, match="not the figures of a comparison"):
        write_comparison(tmp_path / "c.json", tmp_path / "c.html")
