"""How fast Accord samples, beside Transformers' `generate`: the same model, prompts and lengths, in turn.

    .venv/bin/python benchmarks/sampling.py --rows 32 --new 64

SmolLM2-135M-Instruct, temperature 1, no end token, so that both write exactly `rows` x `new` tokens. `generate` gets
its prompts as one batch padded on the left; Accord gets them as `rows / samples` prompts with `samples` samples each.
"""

import argparse
import json
import statistics
import time

import torch

from accord.policy.load import load_policy
from accord.rollout import Sampler

QUESTIONS = [
    "Write a short story about a fox.",
    "Explain photosynthesis.",
    "What is the capital of France, and why?",
    "Give me tips to sleep better.",
]


def main() -> None:
    """Print one JSON object: tokens a second of each (medians of the rounds) and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=32, help="completions")
    parser.add_argument("--samples", type=int, default=8, help="completions of each prompt, for Accord to share it")
    parser.add_argument("--new", type=int, default=64, help="tokens of each completion")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model, tokenizer, _ = load_policy("smollm2", dtype=asked.dtype)
    count = max(asked.rows // asked.samples, 1)
    prompts = [[{"role": "user", "content": QUESTIONS[i % len(QUESTIONS)]}] for i in range(count)]
    tokenizer.padding_side = "left"
    padded = tokenizer.apply_chat_template(
        [prompts[i % count] for i in range(asked.rows)],
        add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True,
    )  # fmt: skip
    sampler = Sampler(model, tokenizer)
    sampler.ends = frozenset()

    def peer() -> int:
        out = model.generate(**padded, max_new_tokens=asked.new, min_new_tokens=asked.new, do_sample=True, top_k=0)
        return out[:, padded["input_ids"].shape[1] :].numel()

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
