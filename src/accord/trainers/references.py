"""What the reference says of the completions: computed once before training, and looked up in every step."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, nn

from accord.policy import reference
from accord.policy.forward import install
from accord.policy.gguf import cache_folder
from accord.policy.score import score_trees
from accord.policy.verify import verify
from accord.trainers.checkpoint import AtomicCheckpoints
from accord.trainers.examples import Example, Merged
from accord.trainers.objective import Objective
from accord.trainers.scored import beginning
from accord.tree import PromptTree


class WithReference(AtomicCheckpoints):
    """The part of the base trainer that has to do with the reference."""

    args: Any
    model: Any
    ref_model: nn.Module | None
    objective: Objective
    train_examples: Any
    eval_examples: Any
    references: dict[bytes, float] | None = None
    progress: Callable[[str, int, int], None]
    _micro_batches: Callable[[Sequence[Example]], list[list[Merged]]]
    _verified = False

    def prepare_references(self) -> None:
        """Log-probs of the reference for every completion that training and evaluation will ask for, before the first
        step: from the cache on disk, or by this model as it stands (or `ref_model`)."""
        if self.references is not None:
            return
        self._verify_layout()
        self._find_stand_ins()
        if not self.objective.reference:
            return
        model = (self.ref_model or self.model).to(self.accelerator.device)
        groups = [[m.tree for m in group] for group in self._micro_batches(self._asked_for(self._everything()))]
        mine = groups[self.accelerator.process_index :: self.accelerator.num_processes]
        name = f"{reference.reference_hash(model)}-{self.accelerator.mixed_precision}-{self.layout.value}.db"
        cache = reference.ReferenceCache(Path(self.args.reference_cache or cache_folder() / "reference") / name)

        def score(trees):
            return self._score(model, trees)

        def report(done):
            self.progress("reference log-probs", done, len(mine))

        was_training = model.training
        model.eval()
        found = reference.reference_logps(mine, score, cache, report)
        model.train(was_training)
        cache.close()
        self.references = {k: v for part in gather_object([found]) for k, v in part.items()}

    def references_of(self, examples: Sequence[Example]) -> Mapping[bytes, float] | None:
        """The reference's log-probs of an optimizer batch's completions (and of more), by their `key`."""
        return self.references

    def stand_ins(self, examples: Sequence[Example]) -> list[Example]:
        """What a preview sees in the place of each example."""
        return [self._stand_ins.get(id(e), e) for e in examples]

    def _find_stand_ins(self) -> None:
        self._stand_ins: dict[int, Example] = {}
        preview = self.objective.preview
        if preview is not None and preview.stand_ins is not None:
            for part in (self.train_examples, self.eval_examples):
                self._stand_ins.update(zip(map(id, part), preview.stand_ins(part) if part else [], strict=True))

    def _everything(self) -> list[Example]:
        return [*self.train_examples, *self.eval_examples, *self._stand_ins.values()]

    def _asked_for(self, examples: list[Example]) -> list[Example]:
        """The examples, and their beginnings where tails count differently."""
        return examples if self.objective.wanted.tail == 1 else [*examples, *map(beginning, examples)]

    def _verify_layout(self) -> None:
        """Believes the gate's layout once it agrees with the padded way on the first examples."""
        if self._verified or self.args.layout != "auto":
            return
        self._verified = True
        self.model.to(self.accelerator.device)
        with self.accelerator.autocast():
            self.layout = verify(self.model, self._first_trees()).layout
        if self.ref_model is not None:
            install(self.ref_model, self.layout)

    def _first_trees(self) -> list[PromptTree]:
        return [e.tree for e in (self.train_examples or self.eval_examples)[:2]]

    @property
    def _sharded(self) -> bool:
        return self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)

    def _score(self, model: nn.Module, trees: Sequence[PromptTree]) -> Tensor:
        """[C] log-probs without gradient, in the precision of training."""
        with torch.no_grad(), self.accelerator.autocast():
            return score_trees(model, trees)
