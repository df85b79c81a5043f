"""A method's settings as TRL's trainer takes them: all of TRL's, and Accord's further ones to be told apart."""

from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass
from typing import Any, ClassVar, get_type_hints

import torch
import trl
from transformers import TrainingArguments

from accord.feedback import AccordError
from accord.trainers.on_trl.peers import PEERS

#: Settings of Accord's that change how it computes, not what it learns: they are not used, and that is said.
NOT_USED = {
    "token_budget": "TRL's micro-batches are counted in examples: per_device_train_batch_size",
    "prompt_group_size": "TRL draws examples one by one",
    "layout": "TRL pads",
    "reference_cache": "TRL keeps no reference log-probs from one run to the next",
    "rollout_rows": "TRL samples all completions of a rollout at once",
}
#: Settings that TRL's configuration lacks and that reach its trainer all the same, see `accord.trainers.on_trl.build`.
PASSED_ON = {"disable_dropout", "attn_implementation", "max_length", "disagreement_penalty"}
#: Settings of TRL's that its trainer would ignore, because Accord loads the model and reads the data.
NO_EFFECT = {
    "model_init_kwargs": "Accord loads the model: use dtype, model_revision, attn_implementation",
    "dataset_kwargs": "Accord reads the data, and TRL prepares them",
    "dataset_text_field": "Accord reads the data: rows have messages, or prompt and completion",
}
#: Settings that TRL lacks -> what comes nearest.
INSTEAD = {
    "balance_weights": "give desirable_weight or undesirable_weight",
    "reference_point": "loss_type apo_zero_unpaired has that of zero",
    "kl_budget": "raise beta",
    "kl_estimator": "its KL is estimated by k3",
    "kl_in": "its rloo has the KL in the reward, its grpo in the loss",
    "missing_eos_penalty": "mask_truncated_completions leaves out what was cut",
}
#: Settings of which TRL knows fewer values.
FEWER = {"importance_sampling_level": ("token", "sequence")}
#: Losses of Accord's that TRL has in trl.experimental.
EXPERIMENTAL = ("simpo", "orpo", "cpo", "slic")


@dataclass
class OnTRL:
    """Laid over a configuration of TRL's: knows Accord's settings too, and refuses what TRL cannot do (ValueError).

    `method` is a key of PEERS; `ours` are the settings that TRL's configuration lacks, with their defaults.
    """

    method: ClassVar[str]
    ours: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        if not torch.accelerator.is_available():
            self.use_cpu = True  # else Transformers refuses bf16, which is TRL's default
        super().__post_init__()  # type: ignore[misc]
        theirs, trainer = PEERS[self.method].config, PEERS[self.method].trainer.__name__
        for f in fields(theirs):
            if f.name in NO_EFFECT and getattr(self, f.name) != f.default:
                raise ValueError(f"{f.name}: has no effect, {NO_EFFECT[f.name]}")
        for name in self.changed():
            if name not in NOT_USED and name not in PASSED_ON:
                remedy = INSTEAD.get(name, "leave it out")
                raise ValueError(f"{name}: TRL's {trainer} has no such setting; {remedy}, or leave out --backend trl")
        for name, known in FEWER.items():
            value = getattr(self, name, known[0])
            if value not in known:
                raise ValueError(
                    f"{name} {value}: TRL's {trainer} knows only {' and '.join(known)}; use one, or leave out "
                    "--backend trl"
                )
        self._check_loss()
        if PEERS[self.method].samples and self.train_sampling_strategy == "sequential":  # type: ignore[attr-defined]
            self.shuffle_dataset = False  # its own setting, beside which it would not look at the other

    def _check_loss(self) -> None:
        losses, smoothed = PEERS[self.method].losses, PEERS[self.method].smoothed
        if not losses:
            return
        chosen: str | list[str] = self.loss_type  # type: ignore[attr-defined]
        chosen = [chosen] if isinstance(chosen, str) else chosen
        for loss in chosen:
            if loss in EXPERIMENTAL:
                raise ValueError(f"loss_type {loss}: no stable trainer of TRL's has it; leave out --backend trl")
            if loss not in losses:
                raise ValueError(f"loss_type is {loss!r}: use one of {', '.join(losses)}")
        smoothing: float = getattr(self, "label_smoothing", 0.0)
        deaf = [loss for loss in chosen if loss not in smoothed]
        if smoothing and deaf:
            raise ValueError(
                f"label_smoothing: TRL's {deaf[0]} loss ignores it; leave it out, or leave out --backend trl"
            )

    def changed(self) -> list[str]:
        """The settings that TRL's configuration lacks and that have another value than their default."""
        return [name for name, default in self.ours.items() if getattr(self, name) != default]

    def __reduce__(self):
        """Pickled, as into training_args.bin, it is TRL's own configuration."""
        state = {name: value for name, value in vars(self).items() if name not in self.ours}
        return object.__new__, (PEERS[self.method].config,), state


def config_of(method: str, native: type[TrainingArguments]) -> type[TrainingArguments]:
    """TRL's configuration of `method`, with the settings that only Accord's, `native`, has.

    `trust_remote_code` is the model's option here: TRL's own is left at its default. Raises AccordError where TRL has
    no trainer of the method.
    """
    if method not in PEERS:
        raise AccordError(f"--backend trl: TRL {trl.__version__} has no {method.upper()} trainer; leave it out")
    theirs, hints = PEERS[method].config, get_type_hints(native)
    known = {f.name for f in fields(theirs)}
    more = [(f.name, hints[f.name], _again(f)) for f in fields(native) if f.init and f.name not in known]
    about = "Kernel of attention, as TRL's ModelConfig names it: sdpa, flash_attention_2, …"
    more.append(("attn_implementation", str | None, field(default=None, metadata={"help": about})))
    ours = {name: _default(f) for name, _, f in more}
    as_lists = [  # the command line reads these, not tuples
        (f.name, hints[f.name], _again(f))
        for f in fields(native)
        if f.name in known and "tuple" in str(get_type_hints(theirs)[f.name])
    ]
    hidden = ("trust_remote_code", bool, field(default=False, init=False))
    return make_dataclass(
        f"{theirs.__name__}OnTRL",
        [*more, *as_lists, hidden],
        bases=(OnTRL, theirs),
        namespace={"method": method, "ours": ours},
    )


def _again(f: Field) -> Any:
    """The field anew, for another class."""
    if f.default_factory is not MISSING:
        return field(default_factory=f.default_factory, metadata=f.metadata)
    return field(default=f.default, metadata=f.metadata)


def _default(f: Field) -> Any:
    return f.default if f.default_factory is MISSING else f.default_factory()
