"""Are soft labels worth it? Votes are flipped at random, and DPO trains on what several ways of adding them up make of
them. Writes noisy_labels.json, a line as each run ends.

    python benchmarks/noisy_labels.py   # nine runs, about fifteen minutes on two cores; goes on where it was
    python benchmarks/noisy_labels.py --steps 2 --prompts 9 --out try.json   # does it run?

The demo's answers, votes and settings: SmolLM2's answers, voted on by a simulated panel. The seed decides which votes
are flipped, the order of the pairs and the adapter's first values. Measured on the prompts that the demo holds out,
with four answers each by the same model, in all pairs, and votes of the same panel that nobody flipped: the log-loss
of σ(β·Δ), Δ the difference of the answers' log-ratios, with the share of the votes for an answer.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from run import machine, note
from tables import HARD, NOISY, SOFT

from accord.cli.demo import ANSWERS, DECODING, PAIRS, TRAINING
from accord.cli.demo_votes import TASTE, ask, demo_prompts
from accord.cli.held_out import Asked
from accord.cli.measure import evaluate, record
from accord.evaluation.models import answer
from accord.exchange import read
from accord.exchange.rows import preference_rows
from accord.exchange.writing import write_votes
from accord.feedback import Choice, Comparison, Message, Noun, PairLabel, Prompt, Response, fingerprint
from accord.policy.gguf import cache_folder
from accord.policy.load import load_policy
from accord.quality import panel
from accord.rollout.sample import Sampled
from accord.runs import Run

VOTERS = panel(TASTE, seed=0)
#: Split -> the pairs of answers that are voted on, at most, of each prompt.
SPLITS = {"train": PAIRS, "test": ANSWERS * (ANSWERS - 1) // 2}
FIGURES = ("log_loss", "accuracy", "calibration_error")
OTHER_WAY = {Choice.LEFT: Choice.RIGHT, Choice.RIGHT: Choice.LEFT}
FOR_LEFT = {Choice.LEFT: 1.0, Choice.TIE: 0.5, Choice.RIGHT: 0.0}


class Split(NamedTuple):
    """Prompts, their answers, and the panel's votes on pairs of these."""

    prompts: list[Prompt]
    answers: list[Response]
    votes: list[Comparison]


def sampled(split: str, model: str, limit: int, file: Path) -> tuple[list[Prompt], list[Response]]:
    """The demo's prompts of one split with the model's answers, from `file` where they were drawn before."""
    prompts = [prompt for prompt in demo_prompts(limit) if prompt.split == split]
    if not file.exists():
        note(f"{split}: the model answers {len(prompts)} prompts, {ANSWERS} times each")
        policy = load_policy(model, dtype=TRAINING["dtype"])
        asked = [prompt.content for prompt in prompts]
        drawn = answer(policy.model, policy.tokenizer, asked, n=ANSWERS, seed=0, progress=every(50), **DECODING)
        write_votes(file, chain[Noun](prompts, (said(prompts[each.prompt], each) for each in drawn)))
    return prompts, [noun for noun in read([str(file)]) if isinstance(noun, Response)]


def said(prompt: Prompt, drawn: Sampled) -> Response:
    return Response(prompt.id, (Message("assistant", drawn.text),), extra={"finished": drawn.finished})


def voted(split: str, model: str, limit: int, file: Path) -> Split:
    """What is trained on, or measured with, as the panel left it."""
    prompts, answers = sampled(split, model, limit, file)
    votes = [
        vote
        for prompt in prompts
        for vote in ask(VOTERS, prompt, [a for a in answers if a.prompt_id == prompt.id], pairs=SPLITS[split], seed=0)
    ]
    return Split(prompts, answers, votes)


def flipped(votes: Sequence[Comparison], share: float, seed: int) -> Iterator[Comparison]:
    """`share` of the votes, chosen by lot, say the other side. A tie stays one."""
    for vote in votes:
        lot = random.Random(fingerprint("flip", seed, vote.id)).random()
        yield replace(vote, choice=OTHER_WAY.get(vote.choice, vote.choice)) if lot < share else vote


def shares(votes: Sequence[Comparison]) -> list[PairLabel]:
    """The plain share of the votes for one answer of each pair, a tie counting half: nobody weighed, no prior."""
    pairs: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for vote in votes:
        a, b = sorted((vote.left_id, vote.right_id))
        for_left = FOR_LEFT[vote.choice]
        pairs[vote.prompt_id, a, b].append(for_left if vote.left_id == a else 1 - for_left)
    return [PairLabel(prompt, a, b, p_chosen=mean(said), n_votes=len(said)) for (prompt, a, b), said in pairs.items()]


def train(folder: Path, votes: Path, labels: str, seed: int, model: str, steps: int | None) -> None:
    """`accord dpo` with the demo's settings."""
    settings = {
        "dataset_name": votes, "labels": labels, "test_fraction": 0, "model_name_or_path": model, **TRAINING,
        "seed": seed, "output_dir": folder, "report_html": "false", **({"max_steps": steps} if steps else {}),
    }  # fmt: skip
    words = [str(word) for key, value in settings.items() for word in (f"--{key}", value)]
    subprocess.run([sys.executable, "-m", "accord", "dpo", *words, "--overwrite_output_dir"], check=True)


def figures(folder: Path, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Of a trained run, on the held-out rows. The run keeps them, and so is known to be finished."""
    run = Run.open(folder)
    if "log_loss" not in run.summary():
        record(run, evaluate(run, Asked(rows)), settings={"data": "held-out votes"})
    return {name: run.summary()[name] for name in FIGURES}


def finished(folder: Path) -> bool:
    return (folder / "summary.json").is_file() and bool(Run.open(folder).summary().get("finished"))


def every(n: int) -> Callable[[int], None]:
    return lambda done: note(f"  {done} answers") if done % n == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flip", type=float, default=0.3, help="share of the votes that say the other side")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="optimizer steps of a run; default: the demo's two epochs")
    parser.add_argument("--prompts", type=int, default=132, help="the demo's first so many")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--work", type=Path, default=cache_folder() / "noisy-labels", help="answers and runs")
    parser.add_argument("--out", type=Path, default=NOISY)
    asked = parser.parse_args()
    # Answers are the same whatever is made of them; runs of another experiment are other runs.
    answers = asked.work / fingerprint(asked.model, asked.prompts)[:8]
    work = answers / fingerprint(asked.flip, asked.steps)[:8]
    work.mkdir(parents=True, exist_ok=True)
    note(f"everything that is made on the way is in {work}")
    train_set, test = (voted(name, asked.model, asked.prompts, answers / f"{name}.jsonl") for name in SPLITS)
    rows = list(preference_rows(test.prompts, test.answers, shares(test.votes)))
    voters = [voter.annotator for voter in VOTERS]
    runs: list[dict[str, Any]] = []
    for seed in range(asked.seeds):
        noisy = list(flipped(train_set.votes, asked.flip, seed))
        file = work / f"votes-{seed}.jsonl"
        write_votes(file, chain[Noun](train_set.prompts, train_set.answers, voters, noisy))
        for labels in (HARD, *SOFT):
            folder = work / f"{labels}-{seed}"
            if not finished(folder):
                note(f"seed {seed}, labels {labels}")
                train(folder, file, labels, seed, asked.model, asked.steps)
            runs.append({"seed": seed, "labels": labels, **figures(folder, rows)})
            note("  " + ", ".join(f"{name} {runs[-1][name]:.3f}" for name in FIGURES))
            made = {
                "flip": asked.flip,
                "steps": asked.steps,
                "votes": len(train_set.votes),
                "held_out_votes": len(test.votes),
                "held_out_pairs": len(rows),
                "held_out_prompts": len(test.prompts),
                "runs": runs,
                "machine": machine(),
            }
            asked.out.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
