"""A reference that follows the policy: Trust Region DPO (Gorbatovski et al. 2024, arXiv:2404.09656)."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import TrainerCallback

from accord.policy import reference
from accord.trainers.examples import Example
from accord.trainers.references import WithReference


class WithMovingReference(WithReference):
    """With `sync_ref_model`, every `ref_model_sync_steps` steps π_ref ← α·π_θ + (1 − α)·π_ref in the weights, with
    α = `ref_model_mixup_alpha` (their soft update; α = 1 is the hard one).

    A `ref_model` is copied, not moved. What the reference says changes while training goes on, so it is not kept on
    disk: it is asked for in every step. It lives beside the policy, and is saved in checkpoints.
    """

    _follows = False

    def prepare_references(self) -> None:
        """Puts the reference beside the policy, where it is to move; see `WithReference`."""
        if not self.args.sync_ref_model:
            return super().prepare_references()
        if self._follows:
            return None
        if isinstance(self.model, PeftModel):
            raise ValueError("sync_ref_model: with an adapter the reference is its base, which does not move")
        if self._sharded:
            raise ValueError("sync_ref_model: needs the whole model in each process; leave out FSDP or DeepSpeed")
        self._verify_layout()
        self._find_stand_ins()
        self.ref_model = copy.deepcopy(self.model if self.ref_model is None else self.ref_model)
        if _shapes(self.ref_model) != _shapes(self.model):
            raise ValueError("sync_ref_model: ref_model and model have different weights, so none can follow the other")
        self.ref_model.to(self.accelerator.device).requires_grad_(False).eval()
        self.add_callback(_Synchronise(self))
        self._follows = True
        return None

    def references_of(self, examples: Sequence[Example]) -> Mapping[bytes, float] | None:
        if not self.args.sync_ref_model:
            return super().references_of(examples)
        said: dict[bytes, float] = {}
        for group in self._micro_batches(self._asked_for(list(examples))):
            trees = [merged.tree for merged in group]
            keys = [reference.key(tree.prompt, completion) for tree in trees for completion in tree.completions]
            said.update(zip(keys, self._score(self._moving, trees).tolist(), strict=True))
        return said

    def own_state(self) -> dict[str, Tensor]:
        moved = self._moving.named_parameters() if self.args.sync_ref_model else ()
        return super().own_state() | {f"{PREFIX}{name}": weight.detach() for name, weight in moved}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_own_state(state)
        if self.args.sync_ref_model:
            if not any(name.startswith(PREFIX) for name in state):
                raise ValueError("sync_ref_model: the checkpoint has no reference: resume with the settings of its run")
            with torch.no_grad():
                for name, weight in self._moving.named_parameters():
                    weight.copy_(state[f"{PREFIX}{name}"])

    @property
    def _moving(self) -> nn.Module:
        assert self.ref_model is not None  # since prepare_references
        return self.ref_model


PREFIX = "reference."


class _Synchronise(TrainerCallback):
    def __init__(self, trainer: Any):
        self._trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % args.ref_model_sync_steps:
            return
        policy = dict(self._trainer.model.named_parameters())
        with torch.no_grad():
            for name, weight in self._trainer.ref_model.named_parameters():
                weight.lerp_(policy[name].to(weight.dtype), args.ref_model_mixup_alpha)


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in model.named_parameters()}
