"""How long does it take to fit 100,000 votes of 4,000 annotators on 10,000 pairs? The votes are simulated. Prints JSON,
and keeps the figures in others.json.

    python benchmarks/fit_crowd.py   # a minute or two
"""

import argparse
import json
import time

import numpy as np
from tables import keep, write_docs

from accord.quality.crowd import Role, draw_crowd, draw_margins, simulate_votes
from accord.quality.labels import LABELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--votes", type=int, default=25, help="of each")
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--dry", action="store_true", help="keep nothing")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    crowd = draw_crowd(rng, {Role.HONEST: args.people}, temperature=0.3)
    said = simulate_votes(rng, crowd, draw_margins(rng, args.pairs, spread=0.3), args.votes, tie_margin=0.2).votes
    said = said._replace(ends_I2=np.arange(2 * args.pairs).reshape(args.pairs, 2))
    seconds = {}
    for method in ("dawid_skene", "bradley_terry"):
        start = time.perf_counter()
        LABELS[method](said)
        seconds[method] = round(time.perf_counter() - start, 1)
    print(json.dumps(seconds))
    if not args.dry:
        what = f"labels from {args.people * args.votes:,} votes by {args.people:,} annotators, simulated"
        figure = ", ".join(f"{method} {each:.0f} s" for method, each in seconds.items())
        keep([{"what": what, "figure": figure, "command": "python benchmarks/fit_crowd.py"}])
        write_docs()


if __name__ == "__main__":
    main()
