"""What all methods are configured by: Transformers' TrainingArguments with TRL's defaults, and Accord's few own."""

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from accord.policy.encode import TRUNCATIONS
from accord.policy.gate import Layout
from accord.trainers.ranges import check_choices
from accord.trainers.refusals import check_arguments


@dataclass
class AccordConfig(TrainingArguments):
    """Base of `SFTConfig`, `DPOConfig` and `KTOConfig`.

    An optimizer batch is `per_device_train_batch_size` x `gradient_accumulation_steps` x processes examples. Accord
    cuts it into micro-batches by tokens, not by examples, and the result does not depend on the cut: the first two
    numbers matter only as a product.
    """

    learning_rate: float = field(default=1e-6, metadata={"help": "The initial learning rate."})
    logging_steps: float = field(default=10, metadata={"help": "Log every so many optimizer steps."})
    bf16: bool | None = field(  # type: ignore[assignment]
        default=None, metadata={"help": "Compute in bfloat16, weights in float32. Default: yes, unless fp16 is set."}
    )
    max_length: int | None = field(
        default=1024, metadata={"help": "Most tokens of prompt and completion together; longer ones are cut."}
    )
    truncation_mode: str = field(
        default="keep_start", metadata={"help": "What a cut keeps: `keep_start` or `keep_end` (cuts the prompt)."}
    )
    disable_dropout: bool = field(
        default=True,
        metadata={"help": "Set dropout to 0. With dropout, prompts cannot be shared, and training is slower."},
    )
    token_budget: int | None = field(
        default=None,
        metadata={"help": "Tokens in one forward and backward; fewer need less memory. Default: 2048 (GPU: 8192)."},
    )
    prompt_group_size: int = field(
        default=1,
        metadata={"help": "Examples of one prompt that are drawn together, so that its tokens are computed once."},
    )
    layout: str = field(
        default="auto", metadata={"help": "`tree`, `packed`, `padded`, or `auto`: the fastest that the model bears."}
    )
    reference_cache: str | None = field(
        default=None,
        metadata={"help": "Folder for reference log-probs. Default: `reference` in Accord's cache folder."},
    )

    def __post_init__(self):
        if self.bf16 is None:
            self.bf16 = not self.fp16
        if not torch.accelerator.is_available():
            self.use_cpu = True  # else Transformers refuses bf16, and several processes do not find each other
        super().__post_init__()
        check_arguments(self)
        if self.token_budget is None:
            self.token_budget = 8192 if torch.accelerator.is_available() and not self.use_cpu else 2048
        for name in ("token_budget", "prompt_group_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: use 1 or more")
        check_choices(self, CHOICES)
        if self.max_length is not None and self.max_length < 2:
            raise ValueError(f"max_length is {self.max_length}: use 2 or more, or None for no limit")


CHOICES: dict[str, tuple[str, ...]] = {
    "layout": ("auto", *Layout),
    "truncation_mode": tuple(TRUNCATIONS),
    "train_sampling_strategy": ("random", "sequential"),  # packing leaves nothing for grouping by length to save
}
