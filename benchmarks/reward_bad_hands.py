"""What bad hands do to a reward model. It learns from the votes of a crowd three in ten of whom are bad, added up in
several ways, and from as many votes of a crowd without them. Prints JSON, and keeps the figures in others.json.

    python benchmarks/reward_bad_hands.py                  # a linear head on SmolLM2, 20 seeds: ten minutes
    python benchmarks/reward_bad_hands.py --full --seeds 1 # all of SmolLM2's weights, by `accord reward`: half an hour

Pairs of real answers (hh-rlhf), judged by what a simulated taste holds of them. Everybody votes equally often, five
votes a pair. Bad are as many who toss a coin, who say left, and who say what they agreed on beforehand. All models of a
seed see the same pairs; only the labels differ. The head is a logistic regression on the last hidden state, its ridge
chosen by cross-validation on its own labels. Accuracy is on other pairs, by the taste itself, which errs
never. The spread is the standard error of the mean of the paired difference to the clean crowd's model, over seeds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from tables import keep, write_docs

from accord.exchange import read
from accord.exchange.rows import preference_rows
from accord.feedback import Comparison, PairLabel, Prompt, Response, text_of
from accord.quality import pair_labels
from accord.quality.crowd import Crowd, Role, draw_crowd, simulate_comparisons
from accord.quality.evidence import evidence
from accord.quality.tastes import TASTES

DATA = Path(os.environ.get("ACCORD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PEOPLE, VOTES = 30, 5
GOOD = {Role.HONEST: PEOPLE}
BAD = {Role.HONEST: 21, Role.RANDOM: 3, Role.ALWAYS_LEFT: 3, Role.COLLUDER: 3}
CHARACTERS = 500  # of the prompt and both answers, at most
CLEAN = "clean votes"
RIDGES = (1.0, 10.0, 100.0, 1000.0, 10000.0)

Floats = NDArray[np.float64]
Pair = tuple[Prompt, Response, Response]


class Way(NamedTuple):
    """How a crowd's votes become labels."""

    roles: dict[Role, int]
    labels: str
    weigh: bool = False


WAYS = {
    CLEAN: Way(GOOD, "dawid_skene"),
    "dawid_skene": Way(BAD, "dawid_skene"),
    "dawid_skene, annotators weighed": Way(BAD, "dawid_skene", weigh=True),
    "vote_share": Way(BAD, "vote_share"),
    "majority": Way(BAD, "majority"),
}


def pairs() -> list[Pair]:
    """Short ones of which the two answers differ, one of each prompt."""
    nouns = list(read([DATA / "hh-rlhf" / "harmless-base.jsonl.gz"]))
    asked = {noun.id: noun for noun in nouns if isinstance(noun, Prompt)}
    said: dict[str, list[Response]] = {}
    for noun in nouns:
        if isinstance(noun, Response) and noun.id not in {other.id for other in said.get(noun.prompt_id, ())}:
            said.setdefault(noun.prompt_id, []).append(noun)
    found = [(asked[id], *answers[:2]) for id, answers in said.items() if len(answers) > 1]
    texts = [[text_of(noun.content) for noun in pair] for pair in found]
    return [pair for pair, said in zip(found, texts, strict=True) if all(said) and sum(map(len, said)) <= CHARACTERS]


def votes(asked: Sequence[Pair], roles: dict[Role, int], taste: str, seed: int) -> tuple[Crowd, list[Comparison]]:
    rng = np.random.default_rng(seed)
    crowd = draw_crowd(rng, roles, reliability=(0.6, 0.95), temperature=0.3, side_bias=0.1)
    each = len(asked) * VOTES // PEOPLE
    return crowd, list(simulate_comparisons(crowd, asked, [taste], votes_each=each, seed=seed))


def truth(asked: Sequence[Pair], taste: str) -> Iterator[PairLabel]:
    """What the taste itself says, of pairs that it tells apart."""
    for prompt, a, b in asked:
        worth_a, worth_b = (TASTES[taste](text_of(prompt.content), text_of(each.content)) for each in (a, b))
        if worth_a != worth_b:
            better, worse = (a, b) if worth_a > worth_b else (b, a)
            yield PairLabel(prompt.id, better.id, worse.id, 1.0)


def write(file: Path, train: Sequence[PairLabel], test: Sequence[PairLabel], asked: Sequence[Pair]) -> None:
    prompts, answers = [p for p, _, _ in asked], [r for _, *two in asked for r in two]
    with file.open("w", encoding="utf-8") as out:
        for split, labels in (("train", train), ("test", test)):
            for row in preference_rows(prompts, answers, labels):
                out.write(json.dumps({**row, "split": split}) + "\n")


def whole(train: Sequence[PairLabel], test: Sequence[PairLabel], asked: Sequence[Pair], seed: int) -> float:
    """The accuracy on `test` of SmolLM2, all of whose weights learnt from `train`."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "rows.jsonl", Path(folder) / "run"
        write(data, train, test, asked)
        return trained(data, out, seed)


def trained(data: Path, out: Path, seed: int) -> float:
    words = {
        "dataset_name": data,
        "output_dir": out,
        "seed": seed,
        "learning_rate": 2e-5,
        "per_device_train_batch_size": 16,
        "num_train_epochs": 2,
        "warmup_steps": 0.1,
        "lr_scheduler_type": "cosine",
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "report_html": "false",
    }
    command = [sys.executable, "-m", "accord", "reward", *(str(w) for k, v in words.items() for w in (f"--{k}", v))]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [entry["eval_accuracy"] for entry in metrics if "eval_accuracy" in entry][-1]


def hidden(asked: Sequence[Pair]) -> dict[str, Floats]:
    """SmolLM2's last hidden state at the end of each answer, by the answer's id; scaled to unit variance."""
    import torch

    from accord.policy.load import load_policy

    policy = load_policy("smollm2")
    states = {}
    for prompt, *answers in asked:
        for answer in answers:
            said = [{"role": "user", "content": text_of(prompt.content)}]
            said.append({"role": "assistant", "content": text_of(answer.content)})
            ids = policy.tokenizer.apply_chat_template(said, return_tensors="pt", return_dict=True)["input_ids"]
            with torch.inference_mode():
                found = policy.model(ids, output_hidden_states=True).hidden_states[-1]
            states[answer.id] = found[0, -1].double().numpy()
    scale = np.std(list(states.values()), axis=0)
    return {id: state / scale for id, state in states.items()}


def head(states: dict[str, Floats], train: Sequence[PairLabel], test: Sequence[PairLabel]) -> float:
    """The accuracy on `test` of a linear head that learnt from `train`."""

    def apart(labels: Sequence[PairLabel]) -> Floats:
        return np.array([states[label.chosen_id] - states[label.rejected_id] for label in labels])

    x, p, weight = (
        apart(train),
        np.array([label.p_chosen for label in train]),
        np.array([label.weight for label in train]),
    )
    part = np.arange(len(x)) % 5

    def missed(ridge: float) -> float:
        z = [x[part == k] @ fitted(x[part != k], p[part != k], weight[part != k], ridge) for k in range(5)]
        q = np.concatenate([p[part == k] for k in range(5)])
        margin = np.concatenate(z)
        return float((q * np.logaddexp(0, -margin) + (1 - q) * np.logaddexp(0, margin)).mean())

    w = fitted(x, p, weight, min(RIDGES, key=missed))
    return float((apart(test) @ w > 0).mean())


def fitted(x: Floats, p: Floats, weight: Floats, ridge: float) -> Floats:
    """argmin Σ weight · (p log(1 + e^−z) + (1 − p) log(1 + e^z)) + ridge/2 |w|², z = xᵀw."""

    def loss(w: Floats) -> tuple[float, Floats]:
        z = x @ w
        value = weight @ (p * np.logaddexp(0, -z) + (1 - p) * np.logaddexp(0, z)) + ridge / 2 * w @ w
        return value, x.T @ (weight * (expit(z) - p)) + ridge * w

    return minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x


def labelled(asked: Sequence[Pair], way: Way, taste: str, seed: int) -> list[PairLabel]:
    crowd, said = votes(asked, way.roles, taste, seed)
    weights = evidence(said, crowd.annotators).weights() if way.weigh else None
    return [label for label in pair_labels(said, way.labels, weights=weights) if label.weight]


def told(values: Sequence[float], clean: Sequence[float]) -> dict[str, float | list[float]]:
    lost = np.array(clean) - np.array(values)
    error = float(lost.std(ddof=1) / np.sqrt(len(lost))) if len(lost) > 1 else float("nan")
    return {"accuracy": float(np.mean(values)), "lost": float(lost.mean()), "error": error, "by_seed": list(values)}


def lost(figure: dict) -> str:
    error = "" if np.isnan(figure["error"]) else f" ± {100 * figure['error']:.1f}"
    return f" ({-100 * figure['lost']:+.1f}{error} points)".replace("-", "−")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=300, help="to train on; as many again to measure")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--taste", choices=sorted(TASTES), default="concise")
    parser.add_argument("--full", action="store_true", help="train all weights")
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    args = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    every = pairs()
    states = {} if args.full else hidden(every)
    for seed in range(args.seeds):
        order = np.random.default_rng(seed).permutation(len(every))
        asked, kept = ([every[i] for i in part] for part in (order[: args.pairs], order[args.pairs : 2 * args.pairs]))
        known, test = {(x.prompt_id, x.chosen_id) for x in truth(asked, args.taste)}, list(truth(kept, args.taste))
        for name, way in WAYS.items():
            train = labelled(asked, way, args.taste, seed)
            right = np.mean([(label.prompt_id, label.chosen_id) in known for label in train])
            used = [*asked, *kept]
            accuracy = whole(train, test, used, seed) if args.full else head(states, train, test)
            found[name].append(accuracy)
            print(f"seed {seed}, {name}: {100 * right:.1f} % of labels right, accuracy {accuracy:.3f}", file=sys.stderr)
    figures = {name: told(values, found[CLEAN]) for name, values in found.items()}
    print(json.dumps(figures, indent=2))
    if not args.dry:
        lines = ", ".join(
            f"{name} {100 * figure['accuracy']:.1f} %{'' if name == CLEAN else lost(figure)}"
            for name, figure in figures.items()
        )
        kind = "all weights of SmolLM2" if args.full else "a linear head on SmolLM2"
        what = f"reward model ({kind}), {args.pairs} pairs, 5 votes each, 3 in 10 annotators bad, {args.seeds} seeds"
        command = "python benchmarks/reward_bad_hands.py" + (f" --full --seeds {args.seeds}" if args.full else "")
        keep([{"what": what, "figure": lines, "command": command}])
        write_docs()


if __name__ == "__main__":
    main()
