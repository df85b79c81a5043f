"""Who foretells best what other people will vote? On two public sets of votes, five-fold over annotators.

    pip install evalica crowd-kit                         # the peers; without them only Accord's methods are measured
    python benchmarks/held_out_votes.py                   # prints JSON and keeps the figures in others.json

Each fifth of the annotators in its turn is held out; every method sees the votes of the others and says, for each pair,
P(left) + ½ P(tie). The loss is the log-loss of the votes held out, a tie being half a vote each way. The spread is the
standard error of the mean of the paired difference to Accord's `bradley_terry`.

Peers say more than they know: majority vote is certain of all it says. So the loss of each is given twice, as it comes
(between 0.02 and 0.98) and after the best rescaling of its log-odds *for the votes held out*, which nobody could know:
more than a fair chance. Scores are fitted for each prompt alone, where the peer can not do it by itself.
"""

import argparse
import csv
import gzip
import json
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tables import keep, write_docs

from accord.quality.dawid_skene import TIE, A, B, Votes
from accord.quality.labels import LABELS

DATA = Path(os.environ.get("ACCORD_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ANSWERS = {"left": A, "tie": TIE, "right": B}
OURS = "accord bradley_terry"


class Data(NamedTuple):
    """votes: everybody's; prompt_I: the prompt of each pair."""

    votes: Votes
    prompt_I: np.ndarray


def numbered(keys: Iterable) -> tuple[np.ndarray, int]:
    numbers: dict = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys]), len(numbers)


def read(rows: list[dict], prompt: str, left: str, right: str) -> Data:
    """Votes by pair, whichever stood on the left."""
    ends, _ = numbered([(row[prompt], row[side]) for side in (left, right) for row in rows])
    ends_N2 = ends.reshape(2, -1).T
    turned_N = ends_N2[:, 0] > ends_N2[:, 1]
    ends_I2, item_N = np.unique(np.sort(ends_N2, axis=1), axis=0, return_inverse=True)
    vote_N = np.array([ANSWERS[row["winner"]] for row in rows])
    annotator_N, annotators = numbered(row["worker"] for row in rows)
    prompt_I = np.empty(len(ends_I2), dtype=np.int64)
    prompt_I[item_N] = numbered(row[prompt] for row in rows)[0]
    nowhere = np.zeros(len(rows), dtype=np.int64)  # neither set says that sides were shuffled
    said = Votes(item_N, annotator_N, np.where(turned_N, B - vote_N, vote_N), nowhere, len(ends_I2), annotators)
    return Data(said._replace(ends_I2=ends_I2), prompt_I)


def llmfao() -> Data:
    with (DATA / "llmfao" / "crowd-comparisons.csv").open(encoding="utf-8") as file:
        return read(list(csv.DictReader(file)), "prompt", "model_x", "model_y")


def ukp() -> Data:
    with gzip.open(DATA / "ukp-convincing" / "votes.csv.gz", "rt", encoding="utf-8") as file:
        return read(list(csv.DictReader(file)), "topic_file", "left", "right")


def part(votes: Votes, chosen_N: np.ndarray) -> Votes:
    """Some of the votes, annotators numbered anew."""
    rows = {name: getattr(votes, name)[chosen_N] for name in ("item_N", "vote_N", "side_N")}
    annotator_N, annotators = numbered(votes.annotator_N[chosen_N].tolist())
    return votes._replace(**rows, annotator_N=annotator_N, n_annotators=annotators)


def of_scores(win: Callable, name: str) -> Callable[[Data], np.ndarray]:
    """`win(a, b, votes) -> (score of each response, ν)`, asked for each prompt: (s_a + ½ t) / (s_a + s_b + t), with
    t = ν √(s_a s_b)."""

    def probabilities(data: Data) -> np.ndarray:
        votes, p_I = data.votes, np.full(data.votes.n_items, 0.5)
        a_N, b_N = votes.ends_I2[votes.item_N].T
        for prompt in np.unique(data.prompt_I[votes.item_N]):
            here_N, here_I = data.prompt_I[votes.item_N] == prompt, data.prompt_I == prompt
            score, tie = win(a_N[here_N], b_N[here_N], votes.vote_N[here_N])
            typical = np.exp(np.mean(np.log(np.maximum(list(score.values()), 1e-9))))
            ends = votes.ends_I2[here_I].tolist()
            a, b = (np.maximum([score.get(pair[end], typical) for pair in ends], 1e-9) for end in (0, 1))
            alike = tie * np.sqrt(a * b)
            p_I[here_I] = (a + alike / 2) / (a + b + alike)
        return np.nan_to_num(p_I, nan=0.5)

    probabilities.__name__ = name
    return probabilities


def peers() -> dict[str, Callable[[Data], np.ndarray]]:
    """Those that are installed."""
    found: dict[str, Callable[[Data], np.ndarray]] = {}
    try:
        import evalica

        winner = {A: evalica.Winner.X, TIE: evalica.Winner.Draw, B: evalica.Winner.Y}

        def bradley_terry(a, b, vote):
            return evalica.bradley_terry(a.tolist(), b.tolist(), [winner[v] for v in vote.tolist()]).scores.to_dict(), 0

        def newman(a, b, vote):
            said = evalica.newman(a.tolist(), b.tolist(), [winner[v] for v in vote.tolist()])
            return said.scores.to_dict(), float(said.v)

        found["evalica Bradley-Terry"] = of_scores(bradley_terry, "bradley_terry")
        found["evalica Newman"] = of_scores(newman, "newman")
    except ImportError:
        pass
    try:
        import pandas
        from crowdkit.aggregation import DawidSkene, NoisyBradleyTerry

        def dawid_skene(data: Data) -> np.ndarray:
            votes = data.votes
            frame = pandas.DataFrame({"task": votes.item_N, "worker": votes.annotator_N, "label": votes.vote_N})
            said = DawidSkene(n_iter=100).fit_predict_proba(frame).reindex(columns=[A, TIE, B]).fillna(0)
            p_I = np.full(votes.n_items, 0.5)
            p_I[said.index.to_numpy()] = said[A] + said[TIE] / 2
            return p_I

        def noisy_bradley_terry(data: Data) -> np.ndarray:
            votes = data.votes
            a_N, b_N = votes.ends_I2[votes.item_N].T
            decided = votes.vote_N != TIE  # it knows no ties
            label = np.where(votes.vote_N == A, a_N, b_N)
            columns = {"worker": votes.annotator_N, "left": a_N, "right": b_N, "label": label}
            frame = pandas.DataFrame({name: column[decided] for name, column in columns.items()})
            score = NoisyBradleyTerry(n_iter=50, random_state=0).fit_predict(frame)
            u = score.reindex(range(int(votes.ends_I2.max()) + 1)).fillna(score.mean()).to_numpy()
            return 1 / (1 + np.exp(u[votes.ends_I2[:, 1]] - u[votes.ends_I2[:, 0]]))

        found["crowd-kit Dawid-Skene"] = dawid_skene
        found["crowd-kit NoisyBT"] = noisy_bradley_terry
    except ImportError:
        pass
    return found


def methods() -> dict[str, Callable[[Data], np.ndarray]]:
    ours = {f"accord {name}": lambda data, label=label: label(data.votes).p_I for name, label in LABELS.items()}
    return {OURS: ours.pop(OURS)} | ours | peers()


def losses(p_N: np.ndarray, vote_N: np.ndarray) -> np.ndarray:
    p_N, y_N = np.clip(p_N, 0.02, 0.98), 1 - vote_N / 2
    return -(y_N * np.log(p_N) + (1 - y_N) * np.log(1 - p_N))


def rescaled(p_N: np.ndarray, vote_N: np.ndarray) -> np.ndarray:
    """The losses under the rescaling of the log-odds that fits these very votes best."""
    p_N = np.clip(p_N, 1e-3, 1 - 1e-3)
    tried = [losses(1 / (1 + np.exp(-by * np.log(p_N / (1 - p_N)))), vote_N) for by in np.linspace(0.02, 2, 100)]
    return min(tried, key=lambda loss_N: loss_N.mean())


def measured(data: Data, folds: int, seed: int) -> dict[str, dict]:
    """The loss of every method, and how far Accord's is below it."""
    votes = data.votes
    fold_N = (np.random.default_rng(seed).permutation(votes.n_annotators) % folds)[votes.annotator_N]
    said, seconds = {}, {}
    for name, method in methods().items():
        start, said[name] = time.perf_counter(), np.empty(len(fold_N))
        for fold in range(folds):
            p_I = method(data._replace(votes=part(votes, fold_N != fold)))
            said[name][fold_N == fold] = p_I[votes.item_N[fold_N == fold]]
        seconds[name] = time.perf_counter() - start
    ours_N, found = losses(said[OURS], votes.vote_N), {}
    for name, p_N in said.items():
        raw_N, best_N = losses(p_N, votes.vote_N), rescaled(p_N, votes.vote_N)
        found[name] = {
            "loss": round(raw_N.mean(), 4),
            "rescaled": round(best_N.mean(), 4),
            "seconds": round(seconds[name], 1),
        }
        if name != OURS:
            found[name] |= {"worse_by": above(raw_N - ours_N), "rescaled_worse_by": above(best_N - ours_N)}
    return found


def above(difference_N: np.ndarray) -> list[float]:
    """Mean and standard error."""
    return [round(difference_N.mean(), 4), round(difference_N.std(ddof=1) / len(difference_N) ** 0.5, 4)]


def figure(found: dict[str, dict]) -> str:
    others = ", ".join(
        f"{name} {each['loss']:.4f} (+{each['worse_by'][0]:.4f} ± {each['worse_by'][1]:.4f})"
        for name, each in found.items()
        if name != OURS
    )
    return f"log-loss {found[OURS]['loss']:.4f} with {OURS}; {others}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="write it to others.json")
    asked = parser.parse_args()
    entries = []
    for name, data in (("llmfao", llmfao()), ("ukp-convincing", ukp())):
        found = measured(data, asked.folds, asked.seed)
        print(json.dumps({"data": name, "votes": len(data.votes.vote_N), **found}, indent=1, ensure_ascii=False))
        what = f"votes of held-out annotators foretold, {name}"
        entries.append({"what": what, "figure": figure(found), "command": "python benchmarks/held_out_votes.py"})
    if asked.keep:
        keep(entries)
        write_docs()


if __name__ == "__main__":
    main()
