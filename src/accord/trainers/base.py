"""The one trainer that all methods share: `transformers.Trainer` with packed prompt trees inside.

What stays Transformers': TrainingArguments, optimizers, schedules, callbacks, `report_to`, Accelerate, checkpoints.
What differs: the data loader hands over an optimizer batch as a list of examples; `training_step` cuts it into
micro-batches by tokens and normalises the loss over the optimizer batch and all processes.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from accelerate.utils import DistributedType, gather_object
from torch import Tensor, nn
from transformers import Trainer

from accord.policy import reference
from accord.policy.encode import encode
from accord.policy.forward import install
from accord.policy.gate import Layout, disable_dropout, tokens
from accord.policy.gguf import cache_folder
from accord.policy.load import load_policy, load_tokenizer
from accord.trainers.adapter import with_adapter
from accord.trainers.checkpoint import AtomicCheckpoints
from accord.trainers.config import AccordConfig
from accord.trainers.examples import EpochLoader, Example, Merged, OptimizerBatches, merge
from accord.trainers.objective import Method, Metric, Objective, Scored
from accord.tree import PromptTree, cut, pack

log = logging.getLogger(__name__)

#: Trees are cut into groups within blocks of this many, so that a million of them takes no longer than in proportion.
BLOCK = 512


class AccordTrainer(AtomicCheckpoints, Trainer):
    """Base of `SFTTrainer`, `DPOTrainer` and `KTOTrainer`. Constructs like TRL's trainers.

    model             a Transformers model (or one with a PEFT adapter), or what `load_policy` takes: a folder, a name
    args              the method's config; None for its defaults
    ref_model         a reference other than the policy as it stands before training
    train_dataset, eval_dataset   rows (datasets.Dataset or any sequence of dicts); see the method's class
    processing_class  the tokenizer; None for the model's own
    peft_config       puts a fresh adapter on the model (LoRA and other weight adapters)
    progress          called with (what is being done, how many are done, of how many) before training
    """

    method: ClassVar[Method]
    args: Any
    model: Any
    objective: Objective

    def __init__(
        self,
        model: Any,
        args: AccordConfig | None = None,
        train_dataset: Iterable[dict] | None = None,
        eval_dataset: Iterable[dict] | None = None,
        processing_class=None,
        peft_config=None,
        ref_model: nn.Module | None = None,
        callbacks=None,
        optimizers=(None, None),
        progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    ):
        args = self.method.config("trainer_output") if args is None else args
        if not isinstance(model, nn.Module):
            model, loaded_tokenizer, _ = load_policy(model)
            processing_class = processing_class or loaded_tokenizer
        processing_class = processing_class or load_tokenizer(model.config._name_or_path)
        self.objective = self.method.objective(args)
        self.progress, self.ref_model = progress, ref_model
        self.optimizer_batch = args.per_device_train_batch_size * args.gradient_accumulation_steps
        args.gradient_accumulation_steps, args.per_device_train_batch_size = 1, self.optimizer_batch
        args.remove_unused_columns = False
        if args.ddp_broadcast_buffers is None:
            args.ddp_broadcast_buffers = False  # processes may differ in their number of forwards

        if args.disable_dropout:
            disable_dropout(model)
        if peft_config is not None:
            model = with_adapter(
                model, peft_config, bf16=bool(args.bf16), checkpointing=bool(args.gradient_checkpointing)
            )
        self.layout = install(model, None if args.layout == "auto" else Layout(args.layout)).layout
        if ref_model is not None:
            install(ref_model, self.layout)

        self.tokenizer = processing_class
        self.train_examples = self._examples(train_dataset, args, "train") if train_dataset is not None else []
        self.eval_examples = self._examples(eval_dataset, args, "eval") if eval_dataset is not None else []
        self.references: dict[bytes, float] = {}
        self._pairing: dict[int, Example] = {}
        self._sums: dict[str, list[Tensor]] = defaultdict(list)
        super().__init__(
            model=model,
            args=args,
            data_collator=list,  # type: ignore[arg-type]
            train_dataset=self.train_examples or None,
            eval_dataset=self.eval_examples or None,
            processing_class=processing_class,
            callbacks=callbacks,
            optimizers=optimizers,
        )
        self.model_accepts_loss_kwargs = False

    # ---- Data

    def _examples(self, dataset: Iterable[dict], args: AccordConfig, name: str) -> list[Example]:
        """Rows to examples; those that the length limit leaves nothing of are dropped, counted and reported."""
        rows = [row for source in dataset for row in self.method.rows(source)]
        kept: list[Example] = []
        dropped: list[str] = []
        cut_rows = 0
        encoded = encode(
            rows,
            self.tokenizer,
            self.method.completions,
            max_length=args.max_length,
            truncation_mode=args.truncation_mode,
        )
        for index, (row, each) in enumerate(zip(rows, encoded, strict=True)):
            identity = str(row.get("id", index))
            cut_rows += each.cut > 0
            if each.tree is None:
                dropped.append(identity)
                continue
            p = float(row.get(self.method.label, 1.0))
            weight = float(row.get("weight", 1.0))
            if not 0 <= p <= 1 or not 0 <= weight < float("inf"):
                raise ValueError(f"{name} row {identity}: p is {p}, weight {weight}: use p in [0, 1], weight from 0 up")
            kept.append(Example(identity, each.tree, p, weight))
            self.progress(f"tokenising {name} rows", index + 1, len(rows))
        if not kept:
            raise ValueError(f"no {name} row fits into max_length={args.max_length}: raise it, or check the data")
        if dropped:
            log.warning(
                "dropped %d of %d %s rows (%s …): nothing of an answer is left within max_length=%s",
                len(dropped), len(rows), name, ", ".join(dropped[:3]), args.max_length,
            )  # fmt: skip
        if cut_rows:
            log.warning("cut %d of %d %s rows to max_length=%s", cut_rows, len(rows), name, args.max_length)
        return kept

    def get_train_dataloader(self) -> EpochLoader:
        """Optimizer batches of this process. Not prepared by Accelerate: the sampler divides them itself."""
        processes = self.accelerator.num_processes
        batches = OptimizerBatches(
            [example.tree.prompt.tobytes() for example in self.train_examples],  # type: ignore[attr-defined]
            self.optimizer_batch * processes,
            shuffle=self.args.train_sampling_strategy == "random",
            seed=self.args.data_seed if self.args.data_seed is not None else self.args.seed,
            together=self.args.prompt_group_size,
            drop_last=self.args.dataloader_drop_last,
            rank=self.accelerator.process_index,
            processes=processes,
        )
        return EpochLoader(self.train_examples, batch_sampler=batches, collate_fn=list)  # type: ignore[arg-type]

    def _micro_batches(self, examples: Sequence[Example]) -> list[list[Merged]]:
        budget = self.args.token_budget
        trees = merge(examples, budget)
        blocks = (trees[start : start + BLOCK] for start in range(0, len(trees), BLOCK))
        return [group for block in blocks for group in cut(block, lambda m: tokens(m.tree, self.layout), budget)]

    # ---- Reference

    def prepare_references(self) -> None:
        """Log-probs of the reference for every completion that training and evaluation will ask for, before the first
        step: from the cache on disk, or by this model as it stands (or `ref_model`)."""
        if not self.objective.reference or self.references:
            return
        everything = [*self.train_examples, *self.eval_examples]
        if self.objective.mismatched:
            for part in (self.train_examples, self.eval_examples):
                self._pairing.update(zip(map(id, part), self.objective.mismatched(part) if part else [], strict=True))
            everything += self._pairing.values()
        model = self.ref_model or self.model
        model.to(self.accelerator.device)
        groups = [[m.tree for m in group] for group in self._micro_batches(everything)]
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

    def _score(self, model: nn.Module, trees: Sequence[PromptTree]) -> Tensor:
        """[C] log-probs without gradient, in the precision of training."""
        batch = pack(trees).to(self.accelerator.device)
        with torch.no_grad(), self.accelerator.autocast():
            return batch.sum_by_completion(model(tree=batch))

    @property
    def _bare_model(self) -> nn.Module:
        """For forwards without gradient: DDP's wrapper would synchronise them, FSDP and DeepSpeed need theirs."""
        return self.model_wrapped if self._sharded else self.model

    @property
    def _sharded(self) -> bool:
        return self.accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED)

    def _reference_of(self, tree: PromptTree) -> list[float]:
        return [self.references[reference.key(tree.prompt, completion)] for completion in tree.completions]

    # ---- One optimizer batch

    def training_step(self, model: nn.Module, inputs: list[Example], num_items_in_batch=None) -> Tensor:  # type: ignore[override]
        """Forward and backward of this process's share of an optimizer batch, a micro-batch at a time.

        The loss is Σ weight·ℓ over all processes divided by their Σ units. DDP and FSDP average gradients over
        processes, so each multiplies its own sum by their number.
        """
        model.train()
        micro_batches = self._micro_batches(inputs)
        wanted = max(len(micro_batches), 1)
        if self._sharded:  # every forward gathers weights from all processes: they must agree on how many there are
            wanted = int(max(gather_object([wanted])))
        total = self._total(sum(map(self.objective.units, inputs)))
        point = self._reference_point(inputs)
        loss = torch.zeros((), device=self.accelerator.device)
        for index in range(wanted):
            last = index == wanted - 1
            idle = index >= len(micro_batches)
            group = merge(self.train_examples[:1], self.args.token_budget) if idle else micro_batches[index]
            with nullcontext() if last else self.accelerator.no_sync(model):
                self.accelerator.gradient_state._set_sync_gradients(last)
                part = self._loss(model, group, point) * (self.accelerator.num_processes / total)
                part = part * 0 if idle else part
                self.accelerator.backward(part)
            loss += part.detach()
        self.state.num_input_tokens_seen += int(self._total(sum(len(m) for g in micro_batches for m in g)))
        return loss

    def _loss(self, model: nn.Module, group: list[Merged], point: Tensor | None) -> Tensor:
        """Σ weight·ℓ over a micro-batch; its metrics are noted."""
        device = self.accelerator.device
        batch = pack([m.tree for m in group]).to(device)
        logps_C = batch.sum_by_completion(model(tree=batch))
        scored, examples = self._scored(group, logps_C, point)
        losses_E = self.objective.losses(scored)
        if not torch.isfinite(losses_E).all():
            bad = [e.id for e, finite in zip(examples, torch.isfinite(losses_E).tolist(), strict=True) if not finite]
            raise FloatingPointError(
                f"the loss is not finite at step {self.state.global_step + 1}, examples {', '.join(bad[:5])}: lower "
                "learning_rate, or look at these examples. Nothing was saved after the last checkpoint"
            )
        self._note(self.objective.metrics(scored, losses_E))
        return (losses_E * scored.weight_E).sum()

    def _scored(self, group: list[Merged], logps_C: Tensor, point: Tensor | None) -> tuple[Scored, list[Example]]:
        device = logps_C.device
        examples = [e for m in group for e in m.examples]
        first, leaves = 0, []
        for merged in group:
            leaves += [[first + leaf for leaf in each] for each in merged.leaves]
            first += len(merged.tree.completions)
        index_EK = torch.tensor(leaves, device=device)
        logps_EK = logps_C[index_EK]
        references = torch.zeros_like(logps_EK)
        if self.objective.reference:
            references = torch.tensor([self._reference_of(e.tree) for e in examples], device=device)
        return Scored(
            logps_EK,
            references,
            torch.tensor([[len(c) for c in e.tree.completions] for e in examples], device=device),
            torch.tensor([e.p for e in examples], device=device),
            torch.tensor([e.weight for e in examples], device=device),
            torch.zeros((), device=device) if point is None else point,
        ), examples

    def _reference_point(self, examples: Sequence[Example]) -> Tensor | None:
        """z₀ of the whole optimizer batch, over all processes."""
        if self.objective.mismatched is None:
            return None
        pairs = [self._pairing[id(e)] for e in examples]
        ratios = torch.zeros(2, device=self.accelerator.device)  # their sum, their number
        for group in self._micro_batches(pairs):
            scored, _ = self._scored(group, self._score(self._bare_model, [m.tree for m in group]), None)
            here = scored.logratios_EK[:, 0]
            ratios += torch.stack([here.sum(), here.new_tensor(len(here))])
        ratios = self.accelerator.reduce(ratios, "sum")
        return (ratios[0] / ratios[1]).clamp(min=0)

    def _total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.accelerator.num_processes == 1:
            return float(value)
        return float(self.accelerator.reduce(torch.tensor(float(value), device=self.accelerator.device), "sum"))

    # ---- Metrics

    def _note(self, metrics: dict[str, Metric]) -> None:
        for name, metric in metrics.items():
            self._sums[name].append(torch.stack([metric.total.float(), metric.number.float()]))

    def _means(self) -> dict[str, float]:
        """Means of what was noted since the last call, over all processes. A mean of nothing is left out."""
        if not self._sums:
            return {}
        sums = torch.stack([torch.stack(parts).sum(0) for parts in self._sums.values()])
        names = list(self._sums)
        self._sums.clear()
        sums = self.accelerator.reduce(sums, "sum")
        means = {name: (s / n).item() for name, (s, n) in zip(names, sums, strict=True) if n > 0}
        return means | self.objective.derived(means)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the method's metrics to a training log."""
        if "loss" in logs:
            logs = logs | self._means() | {"num_tokens": self.state.num_input_tokens_seen}
        super().log(logs, start_time)

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        if not torch.isfinite(torch.as_tensor(norm)):
            raise FloatingPointError(
                f"the gradient is not finite at step {self.state.global_step + 1}: lower learning_rate. Nothing was "
                "saved after the last checkpoint"
            )
        return norm

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
        self.prepare_references()
        training_sums, self._sums = self._sums, defaultdict(list)
        self.model.eval()
        mine = self.eval_examples[self.accelerator.process_index :: self.accelerator.num_processes]
        total = self._total(sum(map(self.objective.units, mine)))
        with torch.no_grad(), self.accelerator.autocast():
            point = self._reference_point(mine)
            parts = [self._loss(self._bare_model, group, point) for group in self._micro_batches(mine)]
            loss = self._total(float(sum(parts))) / total
            means = self._means()
        self._sums = training_sums
        self.model.train()
        metrics = {f"{metric_key_prefix}_{k}": v for k, v in {"loss": loss, **means}.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._memory_tracker.stop_and_update_metrics(metrics)
        return metrics

    # ---- Training

    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        """Trains, from the start or from a whole checkpoint. See `transformers.Trainer.train`.

        Raises RuntimeError if not one trainable weight changed, FloatingPointError if the loss or gradient is not
        finite.
        """
        self.prepare_references()
        before = self._trainable_hash()
        steps = self.state.global_step
        output = super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)
        if output.global_step > steps and self._trainable_hash() == before:
            raise RuntimeError(
                "training changed no weight: is everything frozen, or learning_rate 0 (or too small for the weights' "
                "precision)?"
            )
        return output

    def _trainable_hash(self) -> str:
        return reference.weights_hash((n, p) for n, p in self.model.named_parameters() if p.requires_grad)
