"""A second run that changes only β: how much of its time still goes to the reference.

    python benchmarks/second_run.py                    # prints one JSON object for DPO and one for KTO; minutes
    python benchmarks/second_run.py --examples 16      # quicker, and the shares are larger: hashing takes what it takes

Two trainings on the same rows, each in a process of its own, as two runs of a user's are. The first fills the cache of
reference log-probs; the second has another β. Of `trainer.train()` from its start to its end:

    hash     reading every weight, to know which reference this is
    lookup   the log-probs, computed in the first run and read from the cache in the second
    layout   the check of the first batch against the padded way. It is made with the reference, before the first step,
             and not for it: a run without a reference makes it too

Loading the model and tokenising are not counted, which makes the shares larger.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import wraps
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rows import default_data, fitting

from accord.policy.gguf import embedded_gguf, unpacked_model

BETAS = (0.1, 0.3)
MAX_LENGTH = 512


def train(method: str, beta: float, model: str, rows: list[dict[str, Any]], folder: str) -> dict[str, float]:
    """Seconds of one training, and of its parts. For a process of its own."""
    from transformers import PrinterCallback

    import accord.trainers
    from accord.policy import reference
    from accord.trainers import references

    spent: Counter[str] = Counter()

    def timed(module: Any, function: str, part: str) -> None:
        plain = getattr(module, function)

        @wraps(plain)
        def run(*args: Any) -> Any:
            start = time.perf_counter()
            try:
                return plain(*args)
            finally:
                spent[part] += time.perf_counter() - start

        setattr(module, function, run)

    timed(references, "verify", "layout")
    timed(reference, "reference_hash", "hash")
    timed(reference, "reference_logps", "lookup")
    name = method.upper()
    settings = getattr(accord.trainers, f"{name}Config")(
        folder, beta=beta, max_length=MAX_LENGTH, per_device_train_batch_size=16, num_train_epochs=1, bf16=True,
        use_cpu=True, reference_cache=folder, save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = getattr(accord.trainers, f"{name}Trainer")(model, args=settings, train_dataset=rows)
    trainer.remove_callback(PrinterCallback)  # stdout is for the figures
    start = time.perf_counter()
    trainer.train()
    return {"train": time.perf_counter() - start, **spent}


def measure(method: str, model: str, data: Path, examples: int) -> dict[str, Any]:
    """Both runs, and the shares of the second."""
    rows = fitting(method, data, model, examples, MAX_LENGTH)
    with tempfile.TemporaryDirectory() as folder:
        first, second = (alone(train, method, beta, model, rows, folder) for beta in BETAS)
    reference = second["hash"] + second["lookup"]
    return {
        "method": method,
        "examples": len(rows),
        "first": first,
        "second": second,
        "reference_share": reference / second["train"],
        "share_with_layout": (reference + second["layout"]) / second["train"],
    }


def alone(function: Any, *args: Any) -> Any:
    """`function(*args)` in a fresh process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as one:
        return one.submit(function, *args).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["dpo", "kto"], choices=["dpo", "kto"])
    parser.add_argument("--examples", type=int, default=96, help="that each run trains on, once")
    parser.add_argument("--data", type=Path, default=default_data(), help="hh-rlhf's harmless-base.jsonl.gz")
    parser.add_argument("--model", help="a folder; default: SmolLM2")
    asked = parser.parse_args()
    model = asked.model or str(unpacked_model(embedded_gguf()))
    for method in asked.methods:
        print(json.dumps(measure(method, model, asked.data, asked.examples)), flush=True)


if __name__ == "__main__":
    main()
