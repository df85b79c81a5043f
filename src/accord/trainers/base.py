"""The one trainer that all methods share: `transformers.Trainer` with packed prompt trees inside.

What stays Transformers': TrainingArguments, optimizers, schedules, callbacks, `report_to`, Accelerate, checkpoints.
What differs: the data loader hands over an optimizer batch as a list of examples; `training_step` cuts it into
micro-batches by tokens and normalises the loss over the optimizer batch and all processes.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from transformers import set_seed
from transformers.trainer_utils import speed_metrics

from accord.policy.forward import install
from accord.policy.gate import Layout, disable_dropout, tokens
from accord.policy.load import load_tokenizer
from accord.policy.reference import weights_hash
from accord.trainers.adapter import with_adapter
from accord.trainers.config import AccordConfig
from accord.trainers.examples import EpochLoader, Example, Merged, OptimizerBatches, merge
from accord.trainers.objective import Means, Method, Objective, Previewed
from accord.trainers.prepare import examples_of
from accord.trainers.references import WithReference
from accord.trainers.refusals import check_construction
from accord.trainers.scored import Scored, looked_up
from accord.tree import cut

#: Trees are cut into groups within blocks of this many, so that a million of them takes no longer than in proportion.
BLOCK = 512
#: A process's micro-batches of an optimizer batch, each with what it counts: 1, or 0 for an idle one.
Shares = list[tuple[list[Merged], float]]


class NothingLearntError(RuntimeError):
    """Training went through and left every trainable weight as it was."""


class AccordTrainer(WithReference):
    """Base of all trainers: `SFTTrainer`, `DPOTrainer`, `KTOTrainer` … Constructs like TRL's, in their order.

    model             a Transformers model (or one with a PEFT adapter), or what `load_policy` takes: a folder, a name
    ref_model         a reference other than the policy as it stands before training
    args              the method's config; None for its defaults
    train_dataset, eval_dataset   rows (datasets.Dataset or any sequence of dicts); see the method's class
    processing_class  the tokenizer; None for the model's own
    callbacks, optimizers, optimizer_cls_and_kwargs   as in `transformers.Trainer`
    peft_config       puts a fresh adapter on the model (LoRA and other weight adapters)
    progress          called with (what is being done, how many are done, of how many) before training

    What TRL's trainers take beyond that is refused with the reason: see `accord.trainers.refusals`.
    """

    method: ClassVar[Method]
    args: Any
    model: Any
    objective: Objective

    def __init__(
        self,
        model: Any,
        ref_model: nn.Module | None = None,
        args: AccordConfig | None = None,
        data_collator: None = None,
        train_dataset: Iterable[Mapping[str, Any]] | None = None,
        eval_dataset: Iterable[Mapping[str, Any]] | None = None,
        processing_class=None,
        *,
        callbacks=None,
        optimizers=(None, None),
        optimizer_cls_and_kwargs=None,
        peft_config=None,
        progress: Callable[[str, int, int], None] = lambda what, done, total: None,
        **others,
    ):
        args = self.method.config("trainer_output") if args is None else args
        check_construction(type(self), ref_model, args, {"data_collator": data_collator, **others})
        if not isinstance(model, nn.Module):
            model, loaded_tokenizer, _ = self.method.load(model, args)
            processing_class = processing_class or loaded_tokenizer
        if processing_class is None and not model.config._name_or_path:
            raise ValueError("processing_class: the model was not loaded from anywhere, so give its tokenizer")
        self.tokenizer = processing_class or load_tokenizer(model.config._name_or_path)
        self.args, self.progress, self.ref_model = args, progress, ref_model
        self.optimizer_batch = args.per_device_train_batch_size * args.gradient_accumulation_steps
        args.gradient_accumulation_steps, args.per_device_train_batch_size = 1, self.optimizer_batch
        args.remove_unused_columns = False
        if args.ddp_broadcast_buffers is None:
            args.ddp_broadcast_buffers = False  # processes may differ in their number of forwards
        if args.ddp_find_unused_parameters is None:
            args.ddp_find_unused_parameters = False  # all are used; Transformers would search for them in every step

        if peft_config is not None:
            set_seed(args.seed)  # an adapter begins with random numbers
            model = with_adapter(
                model, peft_config, bf16=bool(args.bf16), checkpointing=bool(args.gradient_checkpointing)
            )
        if args.disable_dropout:
            disable_dropout(model)
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError("every weight is frozen: pass a peft_config, or load the adapter with trainable=True")
        self.layout = install(model, None if args.layout == "auto" else Layout(args.layout)).layout
        if ref_model is not None:
            install(ref_model, self.layout)

        self.train_examples = [] if train_dataset is None else self.prepare(train_dataset, "train")
        self.eval_examples = [] if eval_dataset is None else self.prepare(eval_dataset, "eval")
        self.objective = self.method.objective(args, self.train_examples or self.eval_examples)
        self.carried = 0.0
        self._means = Means()
        super().__init__(
            model=model,
            args=args,
            data_collator=list,  # type: ignore[arg-type]
            train_dataset=self.train_examples or None,
            eval_dataset=self.eval_examples or None,
            processing_class=self.tokenizer,
            callbacks=callbacks,
            optimizers=optimizers,
            optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
        )
        self.model_accepts_loss_kwargs = False

    # ---- Data

    def prepare(self, dataset: Iterable[Mapping[str, Any]], name: str) -> list[Any]:
        """What is drawn from: the rows of the `name` dataset as examples."""
        return examples_of(dataset, name, self.method, self.tokenizer, self.args, self.progress)

    def get_train_dataloader(self) -> EpochLoader:
        """Optimizer batches of this process. Not prepared by Accelerate: the sampler divides them itself."""
        batches = self._divided(
            [example.tree.prompt.tobytes() for example in self.train_examples],
            self.optimizer_batch * self.accelerator.num_processes,
            together=self.args.prompt_group_size,
            drop_last=self.args.dataloader_drop_last,
        )
        if not len(batches):
            raise ValueError(
                f"{len(self.train_examples)} train examples are less than one batch of {batches.size}: leave out "
                "dataloader_drop_last, or lower per_device_train_batch_size"
            )
        return EpochLoader(self.train_examples, batch_sampler=batches, collate_fn=list)

    def _divided(self, groups: Sequence[object], size: int, *, together: int = 1, drop_last: bool) -> OptimizerBatches:
        """Batches of `size` over all processes, in the order that the configuration asks for; this process's share."""
        args = self.args
        return OptimizerBatches(
            groups,
            size,
            shuffle=args.train_sampling_strategy == "random",
            seed=args.data_seed if args.data_seed is not None else args.seed,
            together=together,
            drop_last=drop_last,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )

    def _micro_batches(self, examples: Sequence[Example]) -> list[list[Merged]]:
        budget = self.args.token_budget
        trees = merge(examples, budget)
        blocks = (trees[start : start + BLOCK] for start in range(0, len(trees), BLOCK))
        return [group for block in blocks for group in cut(block, lambda m: tokens(m.tree, self.layout), budget)]

    def _shares(self, examples: Sequence[Example]) -> Shares:
        """Micro-batches, each of which counts 1, and after them idle ones that count 0.

        A process without examples still takes part in every sum over all of them. Where weights are sharded, each
        forward gathers them from all processes, so these must agree on how many there are.
        """
        groups = self._micro_batches(examples)
        wanted = max(len(groups), 1)
        if self._sharded:
            wanted = max(gather_object([wanted]))
        idle = merge([self._idle_example], self.args.token_budget)
        return [(group, 1.0) for group in groups] + [(idle, 0.0)] * (wanted - len(groups))

    @property
    def _idle_example(self) -> Example:
        return (self.train_examples or self.eval_examples)[0]

    @property
    def _bare_model(self) -> nn.Module:
        """For forwards without gradient: DDP's wrapper would synchronise them, FSDP and DeepSpeed need theirs."""
        return self.model_wrapped if self._sharded else self.model

    # ---- One optimizer batch

    def training_step(self, model: nn.Module, inputs: list[Example], num_items_in_batch=None) -> Tensor:  # type: ignore[override]
        """Forward and backward of this process's share of an optimizer batch, a micro-batch at a time.

        The loss is Σ weight·ℓ over all processes divided by their Σ units. DDP and FSDP average gradients over
        processes, so each multiplies its own sum by their number.
        """
        model.train()
        self._drawn = inputs
        shares = self._shares(inputs)
        total = self._total(sum(map(self.objective.units, inputs))) or 1.0  # where nothing counts, the loss is 0
        references = self.references_of(_examples(shares))
        preview = self._preview(inputs, shares, references)
        loss = torch.zeros((), device=self.accelerator.device)
        ratios = loss.new_zeros(2)  # their sum, and how many
        for index, (group, counts) in enumerate(shares):
            last = index == len(shares) - 1
            with nullcontext() if last else self.accelerator.no_sync(model):
                self.accelerator.gradient_state._set_sync_gradients(last)
                scored = self._scored(model, group, references, preview)
                part = self._loss(scored, counts) * (self.accelerator.num_processes / total)
                self.accelerator.backward(part)
            loss += part.detach()
            if self.objective.carry is not None:
                found = scored.logratios_EK.detach()
                ratios += counts * torch.stack([found.sum(), found.new_tensor(found.numel())])
        if self.objective.carry is not None:
            ratio_sum, number = self.accelerator.reduce(ratios, "sum").tolist()
            self.carried = self.objective.carry(self.carried, ratio_sum / number)
        self.state.num_input_tokens_seen += int(
            self._total(sum(counts * len(m) for group, counts in shares for m in group))
        )
        return loss

    def _scored(
        self,
        model: nn.Module,
        group: Sequence[Merged],
        references: Mapping[bytes, float] | None,
        preview: defaultdict[int, list[float]],
    ) -> Scored:
        """A micro-batch as its loss sees it. `preview` is looked up by an example's `id()`."""
        wanted = self.objective.wanted
        read = self.method.read(model, group, wanted)
        examples = tuple(example for merged in group for example in merged.examples)
        preview_EP = read.outputs_EK.new_tensor([preview[id(e)] for e in examples])
        reference_EK = looked_up(examples, references, read.outputs_EK.detach(), wanted.tail)
        return Scored(read.outputs_EK, reference_EK, examples, preview_EP, read.alignment_EK, read.tokens)

    def _loss(self, scored: Scored, counts: float) -> Tensor:
        """Σ weight·ℓ over a micro-batch, times `counts`; its metrics are noted."""
        losses_E = self.objective.losses(scored)
        finite = torch.isfinite(losses_E)
        if not finite.all():
            bad = [e for e, good in zip(scored.examples, finite.tolist(), strict=True) if not good]
            raise FloatingPointError(
                f"the loss is not finite at step {self.state.global_step + 1}, examples {self._names(bad)}: lower "
                "learning_rate, or look at these examples. Nothing was saved after the last checkpoint"
            )
        self._means.add(self.objective.metrics(scored, losses_E), counts)
        return (losses_E * scored.weight_E).sum() * counts

    def _preview(
        self, inputs: Sequence[Example], shares: Shares, references: Mapping[bytes, float] | None
    ) -> defaultdict[int, list[float]]:
        """What the loss wants to know of the whole optimizer batch, over all processes, for each of these examples.
        An idle micro-batch's examples, which are not among them, get zeros."""
        if self.objective.carry is not None:
            return defaultdict(lambda: [self.carried])
        if self.objective.preview is None:
            return defaultdict(list)
        stand_ins = self.stand_ins(inputs)
        if self.objective.preview.stand_ins is not None:
            shares = self._shares(stand_ins)
            references = self.references_of(_examples(shares))
        seen: dict[int, list[list[float]]] = {}
        with torch.no_grad(), self.accelerator.autocast():
            for group, counts in shares:
                scored = self._scored(self._bare_model, group, references, defaultdict(list))
                if counts:
                    pairs = torch.stack([scored.logps_EK, scored.reference_EK], 1).tolist()
                    seen.update(zip(map(id, scored.examples), pairs, strict=True))
        parts = gather_object([[seen[id(e)] for e in stand_ins]])
        logps_EK, reference_EK = torch.tensor([row for part in parts for row in part]).unbind(1)
        found = self.objective.preview.summary(Previewed(logps_EK, reference_EK)).tolist()
        first = sum(map(len, parts[: self.accelerator.process_index]))
        mine = zip(map(id, inputs), found[first : first + len(inputs)], strict=True)
        return defaultdict(lambda: [0.0] * len(found[0]), mine)

    def _total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.accelerator.num_processes == 1:
            return float(value)
        return float(self.accelerator.reduce(torch.tensor(float(value), device=self.accelerator.device), "sum"))

    # ---- State beside Transformers'

    def own_state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold beside what Transformers saves."""
        return {} if self.objective.carry is None else {"carried": torch.tensor(self.carried, dtype=torch.float64)}

    def load_own_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from what `own_state` gave."""
        if self.objective.carry is not None:
            if "carried" not in state:
                raise ValueError("the checkpoint has no moving average: resume with the settings of its run")
            self.carried = float(state["carried"])

    # ---- Metrics

    def _taken(self) -> dict[str, float]:
        """The means since the last call, over all processes, and what follows from them."""
        means = self._means.take(lambda sums: self.accelerator.reduce(sums, "sum"))
        return means | self.objective.derived(means)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the method's metrics to a training log."""
        if "loss" in logs:
            logs = logs | self._taken() | {"num_tokens": self.state.num_input_tokens_seen}
        super().log(logs, start_time)

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        scaled = (
            self.accelerator.scaler is not None
        )  # fp16: an infinite gradient lowers the scale, and the step is left out
        if norm is not None and not scaled and not math.isfinite(norm):
            raise FloatingPointError(
                f"the gradient is not finite at step {self.state.global_step + 1}, among examples "
                f"{self._names(self._drawn)}: lower learning_rate, or look at these examples. Nothing was saved after "
                "the last checkpoint"
            )
        return norm

    @staticmethod
    def _names(examples: Sequence[Example], most: int = 5) -> str:
        return ", ".join(e.id for e in examples[:most]) + (" …" if len(examples) > most else "")

    def floating_point_ops(self, inputs) -> int:
        """Not counted: packed batches have no `input_ids`."""
        return 0

    # ---- Evaluation

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """Loss and metrics on `eval_dataset` (rows), or on the dataset that the trainer was made with."""
        self._memory_tracker.start()
        if eval_dataset is not None and eval_dataset is not self.eval_dataset:
            raise ValueError("evaluate other data with `accord evaluate`: this trainer prepared its own eval_dataset")
        if not self.eval_examples:
            raise ValueError("there is no eval_dataset: give the trainer one")
        began = time.time()
        self.prepare_references()
        of_training, self._means = self._means, Means()
        was_training = self.model.training
        self.model.eval()
        mine = self.eval_examples[self.accelerator.process_index :: self.accelerator.num_processes]
        total = self._total(sum(map(self.objective.units, mine)))
        with torch.no_grad(), self.accelerator.autocast():
            shares = self._shares(mine)
            references = self.references_of(_examples(shares))
            preview = self._preview(mine, shares, references)
            parts = [
                self._loss(self._scored(self._bare_model, group, references, preview), counts)
                for group, counts in shares
            ]
            means = {"loss": self._total(float(sum(parts))) / total, **self._taken()}
        self.model.train(was_training)
        self._means = of_training
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in means.items()}
        metrics |= speed_metrics(metric_key_prefix, began, num_samples=len(self.eval_examples))
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._memory_tracker.stop_and_update_metrics(metrics)
        return metrics

    # ---- Training

    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        """Trains, from the start or from a whole checkpoint. See `transformers.Trainer.train`.

        Raises NothingLearntError if not one trainable weight changed, FloatingPointError if the loss or gradient is not
        finite.
        """
        if not self.train_examples:
            raise ValueError("there is no train_dataset: give the trainer one")
        self.prepare_references()
        before = self._trainable_hash()
        steps = self.state.global_step
        output = super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if output.global_step > steps and self._trainable_hash() == before:
            raise NothingLearntError(f"training changed no weight: {self._why_nothing()}")
        return output

    def _why_nothing(self) -> str:
        return "is everything frozen, or learning_rate 0 (or too small for the weights' precision)?"

    def _trainable_hash(self) -> str:
        return weights_hash((n, p) for n, p in self.model.named_parameters() if p.requires_grad)


def _examples(shares: Shares) -> list[Example]:
    """All examples of some micro-batches, the idle ones' too."""
    return [example for group, _ in shares for merged in group for example in merged.examples]
