"""What the demo's simulated panel is asked, and what it says. No model here: prompts, answers and votes as nouns."""

import json
import random
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import combinations

from accord.feedback import Comparison, Message, Prompt, Response, fingerprint
from accord.quality import SimulatedAnnotator

#: The panel's taste: its name in `accord.quality.TASTES`, and the words in which it is told to people.
TASTE, IN_WORDS = "concise", "short, and without lists"
VOTES_A_PAIR = 3


def demo_prompts(limit: int | None = None) -> list[Prompt]:
    """The prompts written for the demo, every third of them held out; with `limit`, the first so many."""
    lines = (files("accord.cli") / "demo_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:limit]]
    return [Prompt((Message("user", row["prompt"]),), split=row["split"]) for row in rows]


def ask(
    panel: Sequence[SimulatedAnnotator], prompt: Prompt, responses: Sequence[Response], *, pairs: int, seed: int = 0
) -> Iterator[Comparison]:
    """Votes on at most `pairs` pairs of different responses, chosen by lot; each goes to VOTES_A_PAIR of the panel.

    Two answers that were both cut off (`extra["finished"]`) are not compared: they are as long as they were let, and
    nobody knows how they end. Each annotator has the sides shuffled for themselves.
    """
    chance = random.Random(fingerprint("demo pairs", seed, prompt.id))
    different = list({response.id: response for response in responses}.values())
    possible = [pair for pair in combinations(different, 2) if any(answer.extra["finished"] for answer in pair)]
    for left, right in chance.sample(possible, min(pairs, len(possible))):
        for annotator in chance.sample(list(panel), min(VOTES_A_PAIR, len(panel))):
            yield annotator.compare(prompt, left, right, shuffle=True)
