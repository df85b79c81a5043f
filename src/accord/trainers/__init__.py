"""Trainers: one base on `transformers.Trainer`, one small file a method. They construct like TRL's."""

from accord.trainers.dpo import DPOConfig, DPOTrainer
from accord.trainers.kto import KTOConfig, KTOTrainer
from accord.trainers.reward import RewardConfig, RewardTrainer
from accord.trainers.sft import SFTConfig, SFTTrainer

__all__ = [
    "DPOConfig",
    "DPOTrainer",
    "KTOConfig",
    "KTOTrainer",
    "RewardConfig",
    "RewardTrainer",
    "SFTConfig",
    "SFTTrainer",
]
