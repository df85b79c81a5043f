"""Trainers: one base on `transformers.Trainer`, one small file a method. They construct like TRL's."""

from accord.trainers.dpo import DPOConfig, DPOTrainer
from accord.trainers.grpo import GRPOConfig, GRPOTrainer
from accord.trainers.kto import KTOConfig, KTOTrainer
from accord.trainers.ppo import PPOConfig, PPOTrainer
from accord.trainers.reward import RewardConfig, RewardTrainer
from accord.trainers.rloo import RLOOConfig, RLOOTrainer
from accord.trainers.sft import SFTConfig, SFTTrainer

__all__ = [
    "DPOConfig",
    "DPOTrainer",
    "GRPOConfig",
    "GRPOTrainer",
    "KTOConfig",
    "KTOTrainer",
    "PPOConfig",
    "PPOTrainer",
    "RLOOConfig",
    "RLOOTrainer",
    "RewardConfig",
    "RewardTrainer",
    "SFTConfig",
    "SFTTrainer",
]
