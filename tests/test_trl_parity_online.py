"""Against TRL's RLOO and GRPO trainers: the same completions and rewards give the same losses, metrics and weights."""

import random

import pytest
from datasets import Dataset
from transformers import AutoModelForCausalLM

from accord.rollout.sample import Sampled, prompt_ids
from accord.trainers import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from training_kit import farthest, losses, text

trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")

METHODS = {
    "rloo": (RLOOTrainer, RLOOConfig, trl.RLOOTrainer, trl.RLOOConfig),
    "grpo": (GRPOTrainer, GRPOConfig, trl.GRPOTrainer, trl.GRPOConfig),
}
PROMPTS = [{"prompt": f"Say {text(i, 1 + i % 3)}: "} for i in range(4)]
LONGEST = 8  # of a completion, in tokens
#: Four rollouts in the order of the file, each of two prompts with four completions.
SETTINGS = {
    "bf16": False,
    "use_cpu": True,
    "disable_tqdm": True,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "per_device_train_batch_size": 8,
    "num_generations": 4,
    "max_completion_length": LONGEST,
    "num_train_epochs": 2,
    "learning_rate": 1e-2,
    "optim": "sgd",  # Adam makes full steps of gradients that are rounding errors
}


class Given:
    """The completions of each rollout: 1 to 7 bytes and the end token, a prompt's fourth cut at the limit. Those of the
    second rollout's second prompt are all the same."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.ends, self.draw = tokenizer, tokenizer.eos_token_id, random.Random(0)
        self.rollouts = 0

    def completions(self, prompts: int) -> list[list[list[int]]]:
        """[prompts, generations] of the next rollout."""
        self.rollouts += 1
        groups = [[self._completion(cut=sample == 3) for sample in range(4)] for _ in range(prompts)]
        if self.rollouts == 2:
            groups[1] = groups[1][:1] * 4
        return groups

    def _completion(self, cut: bool) -> list[int]:
        length = LONGEST if cut else self.draw.randrange(1, LONGEST)
        ids = [self.draw.randrange(100, 200) for _ in range(length)]
        return ids if cut else [*ids, self.ends]


class GivenSampler(Given):
    """In the place of Accord's sampler."""

    def prompt_ids(self, prompt):
        return prompt_ids(self.tokenizer, prompt)

    def sample(self, prompts, *, n, **options):
        for place, group in enumerate(self.completions(len(prompts))):
            for sample, ids in enumerate(group):
                said = self.tokenizer.decode(ids, skip_special_tokens=True)
                yield Sampled(place, sample, ids, said, [0.0] * len(ids), ids[-1] == self.ends)


def spelling(completions, **columns):
    """Of no consequence but that it differs."""
    return [float(sum(map(ord, text)) % 7) for text in completions]


def theirs(method, folder, model_dir, tokenizer, **changes):
    """TRL's trainer, trained, on its own copy of the model."""
    _, _, trainer_class, config_class = METHODS[method]
    given = Given(tokenizer)

    def generated(self, ids, *rest):
        flat = [completion for group in given.completions(len(ids) // 4) for completion in group]
        return flat if method == "rloo" else (flat, None)

    config = config_class(
        str(folder / "trl"), shuffle_dataset=False, gradient_checkpointing=False, **SETTINGS | changes
    )
    trainer = type("Fed", (trainer_class,), {"_generate_single_turn": generated})(
        AutoModelForCausalLM.from_pretrained(model_dir),
        spelling,
        args=config,
        train_dataset=Dataset.from_list(PROMPTS),
        processing_class=tokenizer,
    )
    trainer.train()
    return trainer


def ours(method, folder, model_dir, tokenizer, **changes):
    trainer_class, config_class, _, _ = METHODS[method]
    trainer = trainer_class(
        AutoModelForCausalLM.from_pretrained(model_dir),
        spelling,
        config_class(str(folder / "accord"), train_sampling_strategy="sequential", **SETTINGS | changes),
        PROMPTS,
        processing_class=tokenizer,
    )
    trainer.sampler = GivenSampler(tokenizer)
    trainer.train()
    return trainer


def both(*args, **changes):
    return ours(*args, **changes), theirs(*args, **changes)


def logs(trainer):
    """What was logged of each step."""
    return [record for record in trainer.state.log_history if "loss" in record]


def weights_apart(mine, other):
    return farthest(*(dict(trainer.model.named_parameters()) for trainer in (mine, other)))


#: Names that both log, in all steps but those of a second pass over a rollout.
ALWAYS = {"loss", "grad_norm", "learning_rate", "entropy", "clip_ratio/low_mean", "clip_ratio/high_mean",
          "clip_ratio/region_mean"}  # fmt: skip
#: Those of a rollout.
ONCE = {"reward", "reward_std", "rewards/spelling/mean", "rewards/spelling/std",
        "completions/mean_length", "completions/min_length", "completions/max_length",
        "completions/clipped_ratio"}  # fmt: skip
#: What both log under one name and count differently: here a prompt's tokens count once for all its completions, and
#: groups of one reward are looked for with `scale_rewards` batch too (TRL: batches).
APART = {"num_tokens", "frac_reward_zero_std"}
TWICE = {"num_iterations": 2}
CUT = {"mask_truncated_completions": True}


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("rloo", {"beta": 0.05, **TWICE}),
        ("rloo", {"normalize_advantages": True, "reward_clip_range": (1.0, 5.0), "temperature": 0.7}),
        ("grpo", {}),
        ("grpo", {"loss_type": "dapo", "beta": 0.1, **TWICE}),
        ("grpo", {"loss_type": "grpo", "beta": 0.1, "use_bias_correction_kl": False, **TWICE}),
        ("grpo", {"loss_type": "grpo", "scale_rewards": "batch", "epsilon_high": 0.4, **TWICE, **CUT}),
        ("grpo", {"loss_type": "dr_grpo", "scale_rewards": "none", "beta": 0.1, **TWICE, **CUT}),
        ("grpo", {"loss_type": "dapo", **TWICE, **CUT}),
        ("grpo", {"loss_type": "bnpo", "delta": 1.5, **TWICE}),
        ("grpo", {"loss_type": "luspo", "importance_sampling_level": "sequence", **TWICE}),
    ],
    ids=str,
)
def test_the_trainers_agree(method, changes, tmp_path, tiny_model_dir, byte_tokenizer):
    """Losses, gradients (their norms, and what they make of the weights) and every metric of the same name."""
    mine, other = both(method, tmp_path, tiny_model_dir, byte_tokenizer, **changes)
    steps = 4 * changes.get("num_iterations", 1)
    assert len(logs(mine)) == len(logs(other)) == steps
    for step, (one, two) in enumerate(zip(logs(mine), logs(other), strict=True)):
        shared = (one.keys() & two.keys()) - APART - {"epoch", "step"}
        first = step % changes.get("num_iterations", 1) == 0
        has_kl = changes.get("beta", {"rloo": 0.05, "grpo": 0.0}[method]) > 0 and (first or method == "grpo")
        assert shared == ALWAYS | (ONCE if first else set()) | ({"kl"} if has_kl else set())
        assert {name: one[name] for name in shared} == pytest.approx(
            {name: two[name] for name in shared}, abs=1e-5, rel=1e-5
        )
    assert weights_apart(mine, other) < 1e-6


def test_the_samples_say_something(tmp_path, tiny_model_dir, byte_tokenizer):
    """Ratios are clipped at both sides; groups are of one reward and of several."""
    mine, other = both("grpo", tmp_path, tiny_model_dir, byte_tokenizer, **TWICE)
    assert max(record["clip_ratio/low_mean"] for record in logs(mine)) > 0
    assert max(record["clip_ratio/high_mean"] for record in logs(mine)) > 0
    for trainer in (mine, other):
        assert [record["frac_reward_zero_std"] for record in logs(trainer)[::2]] == [0.0, 0.5, 0.0, 0.0]


# ---- Where the two differ


@pytest.mark.parametrize("method", METHODS)
def test_metrics_of_micro_batches_are_one_mean_here(method, tmp_path, tiny_model_dir, byte_tokenizer):
    """TRL logs a mean of its micro-batches' means, in which a token of a short one weighs more. It learns the same."""
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    mine, other = both(method, tmp_path, tiny_model_dir, byte_tokenizer, **cut)
    assert weights_apart(mine, other) < 1e-6
    assert losses(mine) == pytest.approx(losses(other), abs=1e-5)
    whole = logs(ours(method, tmp_path, tiny_model_dir, byte_tokenizer))
    for one, two, of_all in zip(logs(mine), logs(other), whole, strict=True):
        assert one["entropy"] == pytest.approx(of_all["entropy"], abs=1e-5)
        assert one["entropy"] != pytest.approx(two["entropy"], abs=1e-5)


def test_bnpo_is_a_mean_over_the_whole_batch_here(tmp_path, tiny_model_dir, byte_tokenizer):
    """And over a micro-batch's tokens there: with one micro-batch the two are the same, see above."""
    cut = {"loss_type": "bnpo", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    mine, other = both("grpo", tmp_path, tiny_model_dir, byte_tokenizer, **cut)
    assert weights_apart(mine, other) > 1e-5
    whole = ours("grpo", tmp_path, tiny_model_dir, byte_tokenizer, loss_type="bnpo")
    assert weights_apart(mine, whole) < 1e-6


def test_rloo_tells_of_what_it_learns_from_alone(tmp_path, tiny_model_dir, byte_tokenizer):
    """Of completions that are cut, and masked, TRL's RLOO logs a loss of −A, constant, and counts no KL in the reward
    that is the others' baseline; here they pay for their KL as all do."""
    mine, other = both("rloo", tmp_path, tiny_model_dir, byte_tokenizer, beta=0.0, **CUT)
    assert weights_apart(mine, other) < 1e-6
    assert losses(other) == pytest.approx([0.0] * 4, abs=1e-5)  # the advantages of all completions
    assert all(abs(loss) > 0.1 for loss in losses(mine))
    mine, other = both("rloo", tmp_path, tiny_model_dir, byte_tokenizer, beta=0.5, **CUT)
    assert 1e-6 < weights_apart(mine, other) < 1e-3
