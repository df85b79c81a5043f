"""Is one taste told from two, and who has which? Simulated crowds whose tastes are known. Prints JSON, and keeps the
figures in others.json.

    python benchmarks/groups.py   # 40 seeds: three minutes

Sixty annotators give 40 votes each on 120 pairs. What is counted: in how many crowds two tastes are found, with its
95 % interval (Wilson's), and how many annotators are put into their own group where there are two, with the standard
error over crowds.
"""

import argparse
import json
from typing import NamedTuple

import numpy as np
from tables import keep, write_docs

from accord.quality.crowd import Role, draw_crowd, draw_margins, simulate_votes
from accord.quality.taste_mixture import fit, held_out
from accord.quality.wilson import wilson

PEOPLE, VOTES, PAIRS = 60, 40, 120


class Public(NamedTuple):
    """tastes: shares of the crowd; alike: share of the pairs on which both think the same; opposed: on none."""

    tastes: tuple[float, ...]
    reliability: tuple[float, float] = (0.4, 0.9)
    alike: float = 0.0
    opposed: bool = False


PUBLICS = {
    "one taste": Public((1.0,)),
    "one taste, from coin-tossers to the perfect": Public((1.0,), (0.0, 1.0)),
    "two independent tastes, 65 : 35": Public((0.65, 0.35)),
    "two independent tastes, 80 : 20": Public((0.8, 0.2)),
    "two tastes that share half of the pairs, 65 : 35": Public((0.65, 0.35), alike=0.5),
    "two opposed tastes, 65 : 35": Public((0.65, 0.35), opposed=True),
    "two opposed tastes, 90 : 10": Public((0.9, 0.1), opposed=True),
}


def crowd_of(public: Public, seed: int):
    """Its votes, and who has which taste."""
    rng = np.random.default_rng(seed)
    roles = {Role.HONEST: PEOPLE}
    crowd = draw_crowd(rng, roles, reliability=public.reliability, temperature=0.3, tastes=public.tastes)
    margin_IT = draw_margins(rng, PAIRS, len(public.tastes), 0.3)
    if public.opposed:
        margin_IT[:, 1] = -margin_IT[:, 0]
    elif public.alike:
        alike_I = rng.random(PAIRS) < public.alike
        margin_IT[alike_I, 1] = margin_IT[alike_I, 0]
    said = simulate_votes(rng, crowd, margin_IT, VOTES, tie_margin=0.2).votes
    return said._replace(ends_I2=np.arange(2 * PAIRS).reshape(PAIRS, 2)), crowd.taste_J


def right(member_J: np.ndarray, taste_J: np.ndarray) -> float:
    """The share of the annotators in their own group, whichever is called the first."""
    same = float(((member_J > 0.5) == (taste_J == 0)).mean())
    return max(same, 1 - same)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    args = parser.parse_args()
    figures = {}
    for name, public in PUBLICS.items():
        found, members = 0, []
        for seed in range(args.seeds):
            votes, taste_J = crowd_of(public, seed)
            found += held_out(votes).two
            if len(public.tastes) == 2:
                members.append(right(fit(votes).member_JK[:, 0], taste_J))
        low, high = wilson(found, args.seeds)
        figures[name] = {"two found": found / args.seeds, "low": low, "high": high}
        if members:
            error = float(np.std(members, ddof=1) / np.sqrt(len(members)))
            figures[name] |= {"right": float(np.mean(members)), "right_error": error}
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    if not args.dry:
        lines = "; ".join(
            f"{name}: {100 * f['two found']:.0f} % ({100 * f['low']:.0f} to {100 * f['high']:.0f})"
            + (f", {100 * f['right']:.0f} ± {100 * f['right_error']:.1f} % in their own group" if "right" in f else "")
            for name, f in figures.items()
        )
        what = f"two tastes found, in {args.seeds} simulated crowds each"
        keep([{"what": what, "figure": lines, "command": "python benchmarks/groups.py"}])
        write_docs()


if __name__ == "__main__":
    main()
