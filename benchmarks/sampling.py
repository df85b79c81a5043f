"""How fast Accord samples, beside Transformers' `generate`: the same model, prompts and lengths, in turn.

    .venv/bin/python benchmarks/sampling.py --rows 32 --new 64
    .venv/bin/python benchmarks/sampling.py --rows 32 --new 64 --prompt-tokens 256

SmolLM2-135M-Instruct, temperature 1, no end token, so that both write exactly `rows` x `new` tokens. `generate` gets
its prompts as one batch padded on the left; Accord gets them as `rows / samples` prompts with `samples` samples each.
"""

import argparse
import json
import statistics
import time
from typing import Any

import torch

from accord.policy.load import load_policy
from accord.rollout import Sampler

QUESTIONS = [
    "Write a short story about a fox.",
    "Explain photosynthesis.",
    "What is the capital of France, and why?",
    "Give me tips to sleep better.",
]


def tokens_of(tokenizer: Any, question: str, length: int) -> list[int]:
    """A question in the chat template; with a length, repeated until it has so many tokens."""
    text = question if not length else " ".join([question] * length)
    messages = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    return ids[:length] if length else ids


def main() -> None:
    """Print one JSON object: tokens a second of each (medians of the rounds) and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32, help="completions")
    parser.add_argument("--samples", type=int, default=8, help="completions of each prompt, for Accord to share it")
    parser.add_argument("--prompt-tokens", type=int, default=0, help="length of each prompt (0: a question's own)")
    parser.add_argument("--new", type=int, default=64, help="tokens of each completion")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model, tokenizer, _ = load_policy("smollm2", dtype=asked.dtype)
    count = max(asked.rows // asked.samples, 1)
    prompts = [tokens_of(tokenizer, QUESTIONS[i % len(QUESTIONS)], asked.prompt_tokens) for i in range(count)]
    width = max(map(len, prompts))
    rows = [prompts[i % count] for i in range(asked.rows)]
    padded = {
        "input_ids": torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
    }
    sampler = Sampler(model, tokenizer)
    sampler.ends = frozenset()

    def peer() -> int:
        out = model.generate(**padded, max_new_tokens=asked.new, min_new_tokens=asked.new, do_sample=True, top_k=0)
        return out[:, width:].numel()

    def ours() -> int:
        return sum(len(s.tokens) for s in sampler.sample(prompts, n=asked.rows // count, max_new_tokens=asked.new))

    speeds: dict[str, list[float]] = {"generate": [], "accord": []}
    for turn in range(asked.rounds + 1):  # the first warms up
        for name, run in (("generate", peer), ("accord", ours)):
            began = time.perf_counter()
            tokens = run()
            if turn:
                speeds[name].append(tokens / (time.perf_counter() - began))
    medians = {name: round(statistics.median(each), 1) for name, each in speeds.items()}
    ratio = round(medians["accord"] / medians["generate"], 2)
    print(
        json.dumps(
            {
                **vars(asked),
                "tokens_per_second": medians,
                "best": {n: round(max(e), 1) for n, e in speeds.items()},
                "ratio": ratio,
            }
        )
    )


if __name__ == "__main__":
    main()
