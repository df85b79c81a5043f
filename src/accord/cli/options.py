"""What `accord sft|dpo|kto` can be told beside the method's own config: the model, the data, the run.

Names and defaults are TRL's. Each field carries its help, which is what `--help` prints.
"""

from dataclasses import dataclass, field
from typing import Literal

from accord.feedback import AccordError, LabelMethod


@dataclass
class ModelOptions:
    """The model and, with `use_peft`, the LoRA adapter that is trained on it."""

    model_name_or_path: str = field(
        default="smollm2", metadata={"help": "A folder, a hub name, or smollm2: the model that comes with Accord."}
    )
    model_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of a hub model."})
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = field(
        default="float32", metadata={"help": "What the weights are kept in."}
    )
    adapter_name_or_path: str | None = field(default=None, metadata={"help": "A LoRA adapter to go on training."})
    trust_remote_code: bool = field(
        default=False, metadata={"help": "Run Python code that the model's author ships with it."}
    )
    load_in_8bit: bool = field(
        default=False, metadata={"help": "Keep the base weights in 8 bits (bitsandbytes; with use_peft)."}
    )
    load_in_4bit: bool = field(
        default=False, metadata={"help": "Keep the base weights in 4 bits (bitsandbytes; with use_peft)."}
    )
    use_peft: bool = field(default=False, metadata={"help": "Train a LoRA adapter instead of all weights."})
    lora_r: int = field(default=16, metadata={"help": "Rank of the adapter's matrices."})
    lora_alpha: int = field(default=32, metadata={"help": "The adapter counts lora_alpha / lora_r."})
    lora_dropout: float = field(
        default=0.0, metadata={"help": "Dropout on the adapter's input; above 0, prompts are not shared."}
    )
    lora_target_modules: list[str] | None = field(
        default=None, metadata={"help": "Names of the layers to adapt, or all-linear (the default)."}
    )
    lora_target_parameters: list[str] | None = field(
        default=None, metadata={"help": "Names of bare parameters to adapt (experts of a MoE)."}
    )
    lora_modules_to_save: list[str] | None = field(
        default=None, metadata={"help": "Layers to train in full beside the adapter."}
    )
    use_rslora: bool = field(default=False, metadata={"help": "Scale by lora_alpha / √lora_r instead."})
    use_dora: bool = field(default=False, metadata={"help": "Decompose weights into magnitude and direction (DoRA)."})

    def __post_init__(self) -> None:
        if self.load_in_4bit and self.load_in_8bit:
            raise AccordError("load_in_4bit and load_in_8bit exclude each other: keep one")
        for name in ("load_in_4bit", "load_in_8bit"):
            if getattr(self, name) and not (self.use_peft or self.adapter_name_or_path):
                raise AccordError(f"{name}: quantized weights cannot be trained themselves: add use_peft: true")
        if self.adapter_name_or_path and self.use_peft:
            raise AccordError(
                "adapter_name_or_path goes on training that adapter and use_peft would start a new one: keep one"
            )


@dataclass
class DataOptions:
    """Where the votes are, and how they become labels."""

    dataset_name: list[str] | None = field(
        default=None,
        metadata={"help": "Files, a project folder (accord init), a snapshot folder, or a data set's name on the hub."},
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a hub data set."})
    dataset_format: str | None = field(
        default=None, metadata={"help": "The files' format, where it should not be guessed (see accord import)."}
    )
    dataset_train_split: str = field(default="train", metadata={"help": "The split to train on."})
    dataset_test_split: str = field(default="test", metadata={"help": "The split that is held out."})
    test_fraction: float = field(
        default=0.1,
        metadata={"help": "Hold out this share of the prompts, where the data has no test split of its own."},
    )
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on the first so many examples only."})
    labels: LabelMethod = field(
        default="dawid_skene",
        metadata={"help": "How several people's votes on the same thing become one (soft) label."},
    )
    weigh_annotators: bool = field(
        default=False,
        metadata={"help": "Count votes less of those against whom something speaks (see accord quality)."},
    )
    group: Literal[1, 2] | None = field(
        default=None,
        metadata={"help": "Where people have two tastes (see accord quality): train for the larger group 1, or for 2."},
    )

    def __post_init__(self) -> None:
        if not 0 <= self.test_fraction < 1:
            raise AccordError(f"test_fraction is a share between 0 and 1, not {self.test_fraction}")
        if self.max_train_samples is not None and self.max_train_samples < 1:
            raise AccordError(f"max_train_samples is at least 1, not {self.max_train_samples}")


@dataclass
class RunOptions:
    """Whose trainers run, and what to do where a run already is."""

    backend: Literal["accord", "trl"] = field(
        default="accord", metadata={"help": "Whose trainers run: Accord's, or TRL's (pip install 'accord[trl]')."}
    )
    resume: bool = field(default=False, metadata={"help": "Go on from the last whole checkpoint in output_dir."})
    overwrite_output_dir: bool = field(
        default=False, metadata={"help": "Start afresh in output_dir, and delete the run that is there."}
    )
    report_html: bool = field(default=True, metadata={"help": "Write report.html when the run ends."})

    def __post_init__(self) -> None:
        if self.resume and self.overwrite_output_dir:
            raise AccordError("--resume goes on with a run and --overwrite_output_dir deletes it: keep one")


_PACKED = "Accord never pads: it packs whole prompt trees under token_budget"
_REFERENCE = "the reference is the model that training started from; its log-probs are computed once and kept on disk"
_PAIRS = "it belongs to losses of pairs: accord dpo has it"

#: Keys that TRL has and Accord has not -> why, and what to do instead. Those of sampling: trainers/trl_settings.py.
NOT_HERE = {
    "activation_offloading": "activations stay where the model is; lower token_budget to need less memory",
    "assistant_only_loss": "the loss is on completions; in a conversation, on the last answer",
    "attn_implementation": "Accord chooses: tree attention where the model allows it, and says which it took",
    "bnb_4bit_quant_storage": "4-bit weights are stored as bitsandbytes does by default",
    "bnb_4bit_quant_type": "4-bit weights are always nf4",
    "chat_template_path": "the chat template is the tokenizer's own",
    "completion_only_loss": "the loss is on completions wherever a row has a prompt",
    "config": "a config file cannot name another; give both to --config",
    "dataset_kwargs": "the data are read by Accord, not by `datasets`",
    "dataset_num_proc": "tokenization needs no pool of processes",
    "dataset_streaming": "training reads a frozen snapshot of the data, so that a run can be repeated",
    "dataset_text_field": "rows have `messages`, or `prompt` and `completion`",
    "datasets": "list the files in dataset_name",
    "discopop_tau": _PAIRS,
    "env": "set environment variables in the shell: NAME=value accord dpo …",
    "eos_token": "completions end as the tokenizer's chat template ends them",
    "eval_packing": _PACKED,
    "f_alpha_divergence_coef": _PAIRS,
    "f_divergence_type": _PAIRS,
    "ignore_bias_buffers": "it was a workaround that Accord does not need",
    "ld_alpha": _PAIRS,
    "reward_funcs": "use reward_functions module:function, or reward_model_name_or_path",
    "lora_task_type": "it follows from the method",
    "loss_type": "sft has one loss, −log π(completion | prompt)",
    "loss_weights": _PAIRS,
    "model_init_kwargs": "use dtype, model_revision, load_in_4bit, load_in_8bit",
    "packing": _PACKED,
    "packing_strategy": _PACKED,
    "pad_to_multiple_of": _PACKED,
    "pad_token": "the pad token is the tokenizer's own",
    "padding_free": _PACKED,
    "precompute_ref_batch_size": _REFERENCE,
    "precompute_ref_log_probs": _REFERENCE,
    "ref_model_mixup_alpha": _PAIRS,
    "ref_model_sync_steps": _PAIRS,
    "router_aux_loss_coef": "the router's balancing loss is not added yet",
    "shuffle_dataset": "examples are shuffled each epoch; train_sampling_strategy: sequential keeps their order",
    "streaming": "training reads a frozen snapshot of the data, so that a run can be repeated",
    "sync_ref_model": _PAIRS,
    "test_split_size": "use test_fraction",
    "use_bnb_nested_quant": "4-bit weights are quantized once",
    "use_weighting": _PAIRS,
}
