"""`accord dpo --help`: examples, then the keys that people set most; `--help-all` has the rest."""

from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from transformers import TrainingArguments

from accord.cli.environment_options import OPTIONS
from accord.cli.options import DataOptions, ModelOptions, RunOptions

EXAMPLES = {
    "sft": "answers.jsonl",
    "dpo": "votes.jsonl",
    "kto": "thumbs.jsonl",
    "reward": "votes.jsonl",
    **dict.fromkeys(OPTIONS, "prompts.jsonl"),
}
#: What people set of `transformers.TrainingArguments`.
OFTEN = (
    "output_dir", "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size",
    "gradient_accumulation_steps", "bf16", "lr_scheduler_type", "warmup_steps", "weight_decay", "max_grad_norm",
    "optim", "seed", "eval_strategy", "eval_steps", "save_strategy", "save_steps", "save_total_limit",
    "logging_steps", "report_to", "run_name", "use_cpu", "train_sampling_strategy",
)  # fmt: skip


def show_help(method: str, summary: str, config_class: type, everything: bool = False) -> None:
    """Print the page on stdout."""
    Console(highlight=False).print(page(method, summary, config_class, everything))


def page(method: str, summary: str, config_class: type, everything: bool = False) -> Group:
    inherited = {f.name for f in fields(TrainingArguments)}
    config = {f.name: f for f in fields(config_class) if f.init}
    model = fields(ModelOptions)
    lora = [f for f in model if f.name.startswith(("lora_", "use_"))]
    own = [f for name, f in config.items() if name not in inherited]
    own.sort(key=lambda f: f.name not in vars(config_class)["__annotations__"])  # the method's before what all have
    sections: dict[str, Iterable[Field]] = {
        "Data": fields(DataOptions),
        **({"Rewards, in the order of reward_weights": fields(OPTIONS[method])} if method in OPTIONS else {}),
        "Model": [f for f in model if f not in lora],
        "LoRA": lora,
        method.upper(): own,
        "Training": [config[name] for name in OFTEN if name in config],
        "Run": fields(RunOptions),
    }
    if everything:
        sections["Everything else of transformers.TrainingArguments"] = [
            config[name] for name in sorted(inherited & config.keys() - set(OFTEN))
        ]
    tables = [part for title, rows in sections.items() for part in _section(title, rows)]
    more = [] if everything else [Text("\n--help-all lists every key of transformers.TrainingArguments too.\n", "dim")]
    return Group(*_head(method, summary), *tables, *more)


def _head(method: str, summary: str) -> list[Any]:
    command, data = f"accord {method}", EXAMPLES[method]
    rewarded = method in OPTIONS
    by_model, by_function = " --reward_model_name_or_path runs/reward", " --reward_functions my_rewards:brevity"
    examples = {
        f"{command} --dataset_name {data}{by_model * rewarded} --output_dir runs/first": "the small model that comes "
        "with Accord",
        **({f"{command} --dataset_name {data}{by_function}": "brevity of my_rewards.py, here"} if rewarded else {}),
        f"{command} --config recipes/{method}-hh.yaml --learning_rate 2e-6": "a recipe; the command line wins",
        f"{command} --config recipes/{method}-hh.yaml --resume": "go on after a kill or a power cut",
        f"{command} --dataset_name {data}{by_model * rewarded} --model_name_or_path MODEL --use_peft": "your own "
        "model, with LoRA",
        f"accelerate launch --num_processes 2 -m {command} --config FILE.yaml": "several processes",
    }
    lines = [Text.assemble((f"  # {what}\n", "dim"), (f"  {line}", "cyan")) for line, what in examples.items()]
    usage = Text.assemble(("Usage: ", "bold"), f"{command} [--config FILE.yaml …] [--key value …]\n\n{summary}\n")
    note = "\nA config file is flat YAML, `key: value`, with the names below. What the command line says counts."
    return [usage, Text("Examples", "bold"), *lines, Text(note)]


def _section(title: str, rows: Iterable[Field]) -> list[Any]:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=34, overflow="fold")
    table.add_column(ratio=1)
    for f in rows:
        table.add_row(Text.assemble((f"--{f.name} ", "cyan"), (_default(f), "dim")), Text(_about(f)))
    return [Text(f"\n{title}", "bold"), Padding(table, (0, 0, 0, 2))]


def _default(f: Field) -> str:
    value = f.default_factory() if f.default_factory is not MISSING else f.default
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Enum():
            return str(value.value)
        case list():
            return " ".join(map(str, value))
        case _:
            return str(value)


def _about(f: Field) -> str:
    """The field's help; of the long ones in Transformers, the first sentence."""
    text = " ".join(str(f.metadata.get("help", "")).replace("%%", "%").split())
    if len(text) > 160:
        text = text.split(". ")[0].rstrip(".") + "."
    if get_origin(f.type) is Literal:
        text += f" One of {', '.join(map(str, get_args(f.type)))}."
    return text
