"""The environment's action loop: prompts in, sampled completions with their log-probs out."""

from accord.rollout.choice import Decoding
from accord.rollout.sample import Sampled, Sampler

__all__ = ["Decoding", "Sampled", "Sampler"]
