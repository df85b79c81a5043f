"""The rows that both tools train on: hh-rlhf as Accord reads it, whole within the length limit."""

import os
import random
from itertools import islice
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from accord.cli.options import DataOptions
from accord.cli.training_data import rows_for


def default_data() -> Path:
    """$ACCORD_DATA or ../shared/data beside the repository."""
    root = Path(os.environ.get("ACCORD_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    return root / "hh-rlhf" / "harmless-base.jsonl.gz"


def fitting(method: str, data: Path, model: str, count: int, max_length: int) -> list[dict[str, Any]]:
    """`count` training rows from Accord's own reader of hh-rlhf: the first pairs that fit.

    KTO's rows are both answers of each pair, shuffled, as in the whole data, where every prompt has two.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)

    def fits(row: dict[str, Any]) -> bool:
        talks = (row["prompt"] + row[side] for side in ("chosen", "rejected"))
        return all(len(tokenizer.apply_chat_template(t, return_dict=True)["input_ids"]) <= max_length for t in talks)

    pairs = count // 2 if method == "kto" else count
    made = rows_for("dpo", DataOptions(dataset_name=[str(data)], test_fraction=0.0)).splits["train"]
    chosen = list(
        islice(({k: row[k] for k in ("id", "prompt", "chosen", "rejected")} for row in made if fits(row)), pairs)
    )
    if len(chosen) < pairs:
        raise SystemExit(f"{data}: only {len(chosen)} pairs fit into {max_length} tokens, {pairs} are needed")
    if method == "sft":
        return [{"id": row["id"], "prompt": row["prompt"], "completion": row["chosen"]} for row in chosen]
    if method == "kto":
        single = [
            {"id": f"{row['id']}-{side}", "prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for row in chosen
            for side in ("chosen", "rejected")
        ]
        random.Random(0).shuffle(single)
        return single
    return chosen


def asked(data: Path, model: str, count: int, longest: int) -> list[dict[str, Any]]:
    """`count` prompts of hh-rlhf, the first of at most `longest` tokens with the opening of an answer."""
    tokenizer = AutoTokenizer.from_pretrained(model)

    def fits(prompt: Any) -> bool:
        ids = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"]
        return len(ids) <= longest

    made = rows_for("dpo", DataOptions(dataset_name=[str(data)], test_fraction=0.0)).splits["train"]
    return list(islice(({"id": row["id"], "prompt": row["prompt"]} for row in made if fits(row["prompt"])), count))
