"""What TRL has for each method."""

from typing import NamedTuple

import trl
from transformers import Trainer, TrainingArguments


class Peer(NamedTuple):
    """TRL's side of a method.

    losses     the values of `loss_type` that its trainer knows; empty where the configuration itself checks them
    smoothed   those that use `label_smoothing`; TRL's others ignore it
    reference  whether it compares the model with a reference that it is given
    samples    whether it reads prompts, and learns from samples of its own
    """

    config: type[TrainingArguments]
    trainer: type[Trainer]
    losses: tuple[str, ...] = ()
    smoothed: tuple[str, ...] = ()
    reference: bool = False
    samples: bool = False


PEERS = {
    "sft": Peer(trl.SFTConfig, trl.SFTTrainer),
    "dpo": Peer(
        trl.DPOConfig,
        trl.DPOTrainer,
        losses=(
            "sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot", "aot_unpaired",
            "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm",
        ),
        smoothed=("exo_pair", "robust", "aot", "aot_unpaired"),
        reference=True,
    ),
    "kto": Peer(trl.KTOConfig, trl.KTOTrainer, losses=("kto", "apo_zero_unpaired"), reference=True),
    "reward": Peer(trl.RewardConfig, trl.RewardTrainer),
    "rloo": Peer(trl.RLOOConfig, trl.RLOOTrainer, samples=True),
    "grpo": Peer(
        trl.GRPOConfig,
        trl.GRPOTrainer,
        losses=("grpo", "bnpo", "dr_grpo", "dapo", "luspo", "cispo", "sapo", "vespo"),
        samples=True,
    ),
}  # fmt: skip
