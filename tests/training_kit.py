"""What the tests of training share: small rows of every form, a quick configuration, and runs of it."""

import gc
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from peft import LoraConfig
from transformers import LlamaForSequenceClassification

from accord.trainers import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    PPOConfig,
    PPOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
    SFTConfig,
    SFTTrainer,
)
from conftest import make_tiny_llama

# Every training run begins with a garbage collection, which takes most of a small one: spare it the imported modules.
gc.collect()
gc.freeze()

WORDS = ["tea", "sun", "hill", "river", "of", "a", "the", "small", "bright", "cold", "under", "moss", "lamp"]


class Kind(NamedTuple):
    """A method as tests use it; `given` goes to its trainer, `changes` to its configuration."""

    trainer: type
    config: type
    rows: object
    model: object = make_tiny_llama
    given: Mapping = {}
    changes: Mapping = {}


def make_tiny_reward_model(tokenizer, seed=0, heads=1):
    """The tiny Llama with heads that are not small."""
    trunk = make_tiny_llama(tokenizer, seed, num_labels=heads)
    model = LlamaForSequenceClassification(trunk.config).eval()
    model.model.load_state_dict(trunk.model.state_dict())
    torch.nn.init.normal_(model.score.weight, std=0.2, generator=torch.Generator().manual_seed(seed))
    return model


def text(seed: int, words: int) -> str:
    return " ".join(WORDS[(seed * 7 + i * i + i) % len(WORDS)] for i in range(words))


def pairs(n: int, **columns) -> list[dict]:
    """Preferences over prompts and answers of different lengths; every third prompt comes twice."""
    return [
        {
            "id": f"pair-{i}",
            "prompt": f"Say {text(i - (i % 3 == 2), 1 + i % 4)}: ",
            "chosen": text(3 * i + 1, 1 + i % 5),
            "rejected": text(5 * i + 2, 1 + (i * 3) % 4),
            **columns,
        }
        for i in range(n)
    ]


def unpaired(n: int) -> list[dict]:
    return [
        {"id": f"answer-{i}", "prompt": row["prompt"], "completion": row["chosen"], "label": i % 3 != 0}
        for i, row in enumerate(pairs(n))
    ]


def demonstrations(n: int) -> list[dict]:
    return [{"id": f"answer-{i}", "prompt": r["prompt"], "completion": r["chosen"]} for i, r in enumerate(pairs(n))]


def prompts(n: int) -> list[dict]:
    return [{"id": f"prompt-{i}", "prompt": row["prompt"], "wanted": WORDS[i % 5][0]} for i, row in enumerate(pairs(n))]


def early(prompts, completions, wanted, **columns) -> list[float]:
    """A reward that takes a column: how much of a completion is in the first half of the alphabet."""
    assert len(prompts) == len(completions) == len(wanted)
    return [sum(letter < "n" for letter in text) / 4 + (w in text) for text, w in zip(completions, wanted, strict=True)]


KINDS = {
    "dpo": Kind(DPOTrainer, DPOConfig, pairs),
    "kto": Kind(KTOTrainer, KTOConfig, unpaired),
    "reward": Kind(RewardTrainer, RewardConfig, pairs, make_tiny_reward_model),
    "sft": Kind(SFTTrainer, SFTConfig, demonstrations),
}
REWARDED = {"reward_funcs": early}
SAMPLING = {"num_generations": 4, "per_device_train_batch_size": 16, "max_completion_length": 8, "learning_rate": 1e-3}
#: Methods that learn from their own samples.
ONLINE = {
    "grpo": Kind(GRPOTrainer, GRPOConfig, prompts, given=REWARDED, changes=SAMPLING),
    "ppo": Kind(PPOTrainer, PPOConfig, prompts, given=REWARDED, changes=SAMPLING | {"num_ppo_epochs": 2}),
    "rloo": Kind(RLOOTrainer, RLOOConfig, prompts, given=REWARDED, changes=SAMPLING),
}


def quick(config: type, folder, **changes):
    """A configuration for tests: fp32 on the CPU, silent, a log line a step, nothing saved."""
    settings = {
        "bf16": False,
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
        "logging_steps": 1,
        "save_strategy": "no",
        "learning_rate": 1e-2,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 1,
        "max_length": 96,
        "reference_cache": str(folder / "reference"),
    }
    return config(str(folder / "run"), **(settings | changes))


def make(kind: str, folder, tokenizer, *, model=None, lora=False, rows=12, given=None, **changes):
    """A trainer of `kind`. `given` goes to the trainer, `changes` to its configuration."""
    method = (KINDS | ONLINE)[kind]
    adapter = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    return method.trainer(
        model=method.model(tokenizer) if model is None else model,
        args=quick(method.config, folder, **method.changes | changes),
        train_dataset=method.rows(rows) if isinstance(rows, int) else rows,
        processing_class=tokenizer,
        **({"peft_config": adapter} if lora else {}) | dict(method.given) | (given or {}),
    )


def train(*args, **named):
    """A trainer that has trained."""
    trainer = make(*args, **named)
    trainer.train()
    return trainer


def losses(trainer) -> list[float]:
    return [record["loss"] for record in trainer.state.log_history if "loss" in record]


def weights(trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """The largest difference between two sets of weights."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def plain_logps(model, tokenizer, prompt: str, completion: str) -> float:
    """log π(completion, EOS | prompt) by the model's own forward, a token at a time."""
    start = len(tokenizer(prompt)["input_ids"])
    ids = tokenizer(prompt + completion + tokenizer.eos_token, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logps = model(ids).logits[0, :-1].double().log_softmax(-1)
    return logps.gather(1, ids[0, 1:, None])[start - 1 :].sum().item()


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))
