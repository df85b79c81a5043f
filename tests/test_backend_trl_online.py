"""`--backend trl` of methods that sample: TRL's RLOO and GRPO trainers on Accord's prompts and sources of rewards."""

import json
import re
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from accord.cli.main import app
from accord.rollout.rewards import Function, RewardModel
from accord.runs import Run
from accord.trainers import GRPOConfig, RLOOConfig
from conftest import make_tiny_llama
from training_kit import farthest, losses, make_tiny_reward_model, weights

trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")

from accord.trainers.on_trl import PEERS, build, config_of  # noqa: E402

CONFIGS = {"rloo": RLOOConfig, "grpo": GRPOConfig}
ROWS = [{"id": f"row-{i}", "prompt": f"Say {'so ' * i}: ", "wanted": i} for i in range(8)]


def shortness(completions, wanted):
    """It takes only some of what TRL hands a function, and no **kwargs."""
    return [float(want - len(text)) for text, want in zip(completions, wanted, strict=True)]


def configured(method, folder, **changes):
    settings = {
        "bf16": False, "use_cpu": True, "report_to": "none", "disable_tqdm": True, "save_strategy": "no",
        "logging_steps": 1, "max_steps": 2, "learning_rate": 1e-2, "per_device_train_batch_size": 4,
        "num_generations": 2, "max_completion_length": 6, "gradient_checkpointing": False,
    }  # fmt: skip
    return config_of(method, CONFIGS[method])(str(folder), **(settings | changes))


def made(method, folder, tokenizer, *, model=None, rows=ROWS, rewards=shortness, named=None, **changes):
    return build(
        method,
        model=make_tiny_llama(tokenizer) if model is None else model,
        args=configured(method, folder, **changes),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=None,
        processing_class=tokenizer,
        reward_funcs=rewards,
        **(named or {}),
    )


def logged(trainer, name):
    return [record[name] for record in trainer.state.log_history if name in record]


@pytest.mark.parametrize("method", CONFIGS)
def test_it_samples_is_rewarded_and_learns(method, tmp_path, byte_tokenizer):
    seen = []
    trainer = made(method, tmp_path, byte_tokenizer, named={"on_rollout": lambda *told: seen.append(told)})
    assert isinstance(trainer, getattr(trl, f"{method.upper()}Trainer"))
    before = weights(trainer)
    trainer.train()
    assert farthest(weights(trainer), before) > 1e-3
    assert logged(trainer, "reward") == logged(trainer, "rewards/shortness/mean")
    assert [step for step, _ in seen] == [0, 1]
    wanted = {row["prompt"]: row["wanted"] for row in ROWS}
    for _, shown in seen:
        assert len(shown) == 2  # four completions, two of a prompt
        for each in shown:
            assert each["reward"] == wanted[each["prompt"]] - len(each["completion"])


def test_messages_stay_messages_and_long_prompts_are_left_out(tmp_path, byte_tokenizer, caplog):
    rows = [{"id": "1", "prompt": [{"role": "user", "content": "hi"}]},
            {"id": "2", "prompt": [{"role": "user", "content": "hi " * 40}]}]  # fmt: skip
    given = []

    def reward(prompts, completions):
        given.extend(zip(prompts, completions, strict=True))
        return [float(i) for i in range(len(completions))]

    trainer = made("rloo", tmp_path, byte_tokenizer, rows=rows, rewards=reward, max_length=60, max_steps=1,
                   per_device_train_batch_size=2)  # fmt: skip
    assert "left out 1 of 2 train prompts of more than 54 tokens" in caplog.text
    trainer.train()
    assert len(given) == 2
    assert all(prompt == rows[0]["prompt"] for prompt, _ in given)
    assert all([message["role"] for message in said] == ["assistant"] for _, said in given)


def test_a_sequential_order_is_that_of_the_file(tmp_path, byte_tokenizer):
    seen = []
    trainer = made("grpo", tmp_path, byte_tokenizer, train_sampling_strategy="sequential",
                   named={"on_rollout": lambda step, shown: seen.extend(each["prompt"] for each in shown)})  # fmt: skip
    trainer.train()
    assert seen == [row["prompt"] for row in ROWS[:4]]


# ---- Rewards


def test_several_sources_are_weighed_and_logged_one_by_one(tmp_path, byte_tokenizer):
    heads = make_tiny_reward_model(byte_tokenizer, heads=3)
    sources = [shortness, RewardModel(heads, byte_tokenizer, "judged", disagreement_penalty=2.0),
               Function(lambda completions: [1.0] * len(completions), "one")]  # fmt: skip
    trainer = made("grpo", tmp_path, byte_tokenizer, rewards=sources, reward_weights=[1.0, 0.5, 3.0])
    trainer.train()
    parts = [logged(trainer, f"rewards/{name}/mean") for name in ("shortness", "judged", "one")]
    for total, short, judged, one in zip(logged(trainer, "reward"), *parts, strict=True):
        assert one == 1
        assert total == pytest.approx(short + 0.5 * judged + 3, abs=1e-5)
    assert all(spread > 0 for spread in logged(trainer, "rewards/judged/disagreement/mean"))


def test_the_penalty_of_disagreement_is_taken_off(tmp_path, byte_tokenizer):
    rewards = []
    for penalty in (0.0, 2.0):
        heads = make_tiny_reward_model(byte_tokenizer, heads=3)
        trainer = made("rloo", tmp_path, byte_tokenizer, rewards=heads, disagreement_penalty=penalty, max_steps=1,
                       named={"reward_processing_classes": byte_tokenizer})  # fmt: skip
        trainer.train()
        rewards.append(logged(trainer, "reward")[0])
        spread = logged(trainer, "rewards/reward_model/disagreement/mean")[0]
    assert rewards[0] - rewards[1] == pytest.approx(2 * spread, abs=1e-5)


# ---- The reference


def test_the_reference_is_the_model_as_it_is_given(tmp_path, tiny_model_dir, byte_tokenizer):
    """TRL alone would load it anew by name: here from the folder that the model came from, before it was changed."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    trainer = made("rloo", tmp_path, byte_tokenizer, model=model, beta=0.1, max_steps=1)
    trainer.train()
    assert logged(trainer, "kl") == [0.0]
    assert made("grpo", tmp_path, byte_tokenizer).ref_model is None  # beta 0: none is kept


# ---- Going on


@pytest.mark.parametrize("method", CONFIGS)
@pytest.mark.parametrize("stop", [2, 3], ids=["after a rollout", "within a rollout"])
def test_a_resumed_run_ends_where_it_would_have_ended(method, stop, tmp_path, byte_tokenizer):
    saving = {"save_strategy": "steps", "save_steps": stop, "num_iterations": 2, "lr_scheduler_type": "constant",
              "beta": 0.1}  # fmt: skip
    whole = made(method, tmp_path / "whole", byte_tokenizer, max_steps=5, **saving)
    whole.train()
    part = made(method, tmp_path / "part", byte_tokenizer, max_steps=stop, **saving)
    part.train()
    assert Path(tmp_path, f"part/checkpoint-{stop}/manifest.json").is_file()
    again = made(method, tmp_path / "part", byte_tokenizer, max_steps=5, **saving)
    again.train(resume_from_checkpoint=True)
    assert losses(again) == losses(whole)
    assert farthest(weights(again), weights(whole)) == 0


# ---- From the command line


@pytest.fixture
def accord(tiny_model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rewards_of_this_test.py").write_text(
        "def short(completions):\n    return [-float(len(c)) for c in completions]"
    )
    Path("prompts.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in ROWS))

    def run(method, *words):
        given = ["--model_name_or_path", tiny_model_dir, "--dataset_name", "prompts.jsonl", "--backend", "trl",
                 "--reward_functions", "rewards_of_this_test:short", "--output_dir", "out", "--use_cpu", "--bf16", "no",
                 "--max_steps", 2, "--logging_steps", 1, "--per_device_train_batch_size", 4, "--num_generations", 2,
                 "--max_completion_length", 6, "--test_fraction", 0, *words]  # fmt: skip
        return CliRunner().invoke(app, [method, *map(str, given)])

    return run


@pytest.mark.parametrize(
    ("method", "words"), [("rloo", ["--reward_clip_range", -1, 1, "--use_peft"]), ("grpo", ["--beta", 0.1])]
)
def test_a_command_fills_a_run_folder(method, words, accord):
    done = accord(method, "--save_strategy", "no", *words)
    assert done.exit_code == 0, done.output
    run = Run.open("out")
    assert run.info["backend"] == f"trl {trl.__version__}"
    assert [record["reward"] for record in run.metrics()] == [record["rewards/short/mean"] for record in run.metrics()]
    assert len(Path("out/rollouts.jsonl").read_text().splitlines()) > 1


@pytest.mark.parametrize(
    ("method", "words", "message"),
    [
        ("ppo", [], f"--backend trl: TRL {trl.__version__} has no PPO trainer; leave it out"),
        (
            "rloo",
            ["--reply", "os:getcwd"],
            "reply: TRL's RLOOTrainer takes none: no one answers its model's messages but t",
        ),
    ],
)
def test_a_command_refuses_in_a_line(method, words, message, accord):
    done = accord(method, *words)
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(message)


# ---- What TRL cannot do


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("rloo", {"kl_budget": 5.0}, "kl_budget: TRL's RLOOTrainer has no such setting; raise beta, or leave out"),
        ("rloo", {"missing_eos_penalty": 1.0}, "missing_eos_penalty: TRL's RLOOTrainer has no such setting; mask_trun"),
        ("grpo", {"kl_in": "reward"}, "kl_in: TRL's GRPOTrainer has no such setting; its rloo has the KL in the rewar"),
        ("grpo", {"kl_estimator": "k2"}, "kl_estimator: TRL's GRPOTrainer has no such setting; its KL is estimated by"),
        ("grpo", {"turns": 2}, "turns: TRL's GRPOTrainer has no such setting; leave it out, or leave out --backend tr"),
        ("grpo", {"importance_sampling_level": "completion"}, "importance_sampling_level completion: TRL's GRPOTraine"),
        ("grpo", {"loss_type": "ppo"}, "loss_type is 'ppo': use one of grpo, bnpo, dr_grpo, dapo, luspo, cispo, sapo,"),
        ("rloo", {"model_init_kwargs": {"a": 1}}, "model_init_kwargs: has no effect, Accord loads the model"),
    ],
)  # fmt: skip
def test_what_trl_cannot_do_is_refused_in_a_line(method, changes, message, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        configured(method, tmp_path, **changes)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"reply": lambda said: None},
            "reply: TRL's RLOOTrainer takes none: no one answers its model's messages but t",
        ),
        (
            {"critic": "folder"},
            "critic: TRL's RLOOTrainer takes none: the group is its baseline; leave out --backend trl",
        ),
        ({"nothing": 1}, "nothing: TRL's RLOOTrainer takes none: it has no such argument; leave out --backend trl"),
    ],
)
def test_what_its_trainer_cannot_be_made_of_is_refused(named, message, tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match=re.escape(message)):
        made("rloo", tmp_path, byte_tokenizer, named=named)


@pytest.mark.parametrize("loss", PEERS["grpo"].losses)
def test_the_losses_that_are_listed_are_trls(loss, tmp_path, byte_tokenizer):
    more = {"epsilon_high": 5.0} if loss == "cispo" else {}
    trainer = made("grpo", tmp_path, byte_tokenizer, loss_type=loss, max_steps=1, **more)
    trainer.train()
    assert len(losses(trainer)) == 1
