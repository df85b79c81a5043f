"""What users of TRL's RLOO, GRPO and PPO trainers bring along, and these trainers have not: each is told its remedy."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from accord.cli.arguments import parse
from accord.feedback import AccordError
from accord.trainers import GRPOConfig, GRPOTrainer, PPOConfig, PPOTrainer, RLOOConfig, RLOOTrainer
from accord.trainers.trl_settings import INSTEAD, instead
from conftest import make_tiny_llama
from training_kit import quick

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    ("config", "name", "remedy"),
    [
        (GRPOConfig, "use_vllm", "Accord samples in this process, by the weights as they stand; leave it out"),
        (RLOOConfig, "vllm_mode", "Accord samples in this process, by the weights as they stand; leave it out"),
        (GRPOConfig, "repetition_penalty", "the policy that learns would not be the one that sampled; leave it out"),
        (GRPOConfig, "generation_kwargs", "use temperature, top_p, top_k, min_p and max_completion_length"),
        (
            RLOOConfig,
            "chat_template_kwargs",
            "render the prompts to texts before, or set the tokenizer's chat_template",
        ),
        (GRPOConfig, "vespo_k_pos", "TRL's own trainer has it: build one by accord.trainers.on_trl, or give the co"),
        (PPOConfig, "response_length", "use max_completion_length"),
    ],
)
def test_a_setting_that_only_trl_has_is_told_its_remedy(config, name, remedy, tmp_path):
    with pytest.raises(ValueError, match=re.escape(f"{config.__name__} has no {name}: {remedy}")):
        config(str(tmp_path), **{name: 1})
    with pytest.raises(AccordError, match=re.escape(f"--{name}: '{name}' is a key of TRL's that Accord has not: ")):
        parse(config, [f"--{name}", "1"])


def test_what_nobody_has_is_a_type_error(tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        GRPOConfig(str(tmp_path), nothing=1)


def test_every_setting_of_trls_is_here_or_told_of():
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    for ours, theirs in ((RLOOConfig, trl.RLOOConfig), (GRPOConfig, trl.GRPOConfig)):
        lacking = {f.name for f in fields(theirs)} - {f.name for f in fields(ours)} - {"trust_remote_code"}
        assert [name for name in sorted(lacking) if not instead(name)] == []
        assert not {f.name for f in fields(ours)} & (INSTEAD.keys() - {"kl_estimator"})  # GRPO alone has that


def test_generation_batch_size_is_steps_per_generation_said_otherwise(tmp_path):
    sizes = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_generations": 2,
             "max_completion_length": 4}  # fmt: skip
    assert quick(RLOOConfig, tmp_path, generation_batch_size=24, **sizes).mini_batches == 3
    assert quick(RLOOConfig, tmp_path, steps_per_generation=6, **sizes).mini_batches == 3
    with pytest.raises(ValueError, match="generation_batch_size is 12: use a multiple of the optimizer batch, 8 compl"):
        quick(RLOOConfig, tmp_path, generation_batch_size=12, **sizes)
    with pytest.raises(ValueError, match="generation_batch_size and steps_per_generation say the same: give one"):
        quick(GRPOConfig, tmp_path, generation_batch_size=8, steps_per_generation=2, **sizes)


@pytest.mark.parametrize("n", [1, 3])
def test_held_out_prompts_are_answered_as_often_as_is_asked(n, tmp_path, byte_tokenizer):
    given = []

    def reward(prompts, completions):
        given.extend(prompts)
        return [1.0] * len(completions)

    args = quick(GRPOConfig, tmp_path, num_generations=2, num_generations_eval=n, max_completion_length=4)
    held_out = [{"prompt": "a"}, {"prompt": "b"}]
    model = make_tiny_llama(byte_tokenizer)
    trainer = GRPOTrainer(model, reward, args, eval_dataset=held_out, processing_class=byte_tokenizer)
    metrics = trainer.evaluate()
    assert given == ["a"] * n + ["b"] * n
    assert metrics["eval_reward"] == 1
    assert ("eval_frac_reward_zero_std" in metrics) == (n > 1)


@pytest.mark.parametrize(
    ("trainer", "config", "name", "remedy"),
    [
        (GRPOTrainer, GRPOConfig, "tools", "a `reply` answers the model's messages, and may call them"),
        (GRPOTrainer, GRPOConfig, "rollout_func", "the trainer samples by itself; a `reply` answers the model's mess"),
        (GRPOTrainer, GRPOConfig, "environment_factory", "a `reply` answers the model's messages"),
        (RLOOTrainer, RLOOConfig, "quantization_config", "load the model with `load_policy(..., load_in_4bit=True)`"),
        (PPOTrainer, PPOConfig, "reward_model", "pass it as reward_funcs"),
        (PPOTrainer, PPOConfig, "value_model", "pass it as critic"),
    ],
)
def test_what_trls_trainers_are_made_of_is_refused(trainer, config, name, remedy, tmp_path, byte_tokenizer):
    args = quick(config, tmp_path, num_generations=2, max_completion_length=4)
    with pytest.raises(ValueError, match=re.escape(f"{trainer.__name__} takes no {name}: {remedy}")):
        trainer(make_tiny_llama(byte_tokenizer), lambda completions: [], args, processing_class=byte_tokenizer,
                **{name: object()})  # fmt: skip


def test_the_table_of_old_settings_is_right():
    table = (DOCS / "from-trl.md").read_text().split("| old `PPOConfig` | here |")[1].split("\n\n")[0]
    same = {f.name for f in fields(PPOConfig)}
    rows = [row for row in table.splitlines() if row.startswith("| `")]
    assert len(rows) >= 10
    for row in rows:
        old, here = row.strip("| ").split(" | ")
        for name in re.findall(r"`(\w+)`", old):
            assert (name in same) if here == "the same" else (name in same or instead(name)), name
        for name in re.findall(r"`(\w+)`", here):
            assert name in same | {"on_rollout", "model_name_or_path", "reward_model_name_or_path"}, name
