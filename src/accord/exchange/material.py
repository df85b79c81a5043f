"""The nouns gathered for the doctor, and the views of them that more than one of its checks needs."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from accord.feedback import Annotator, AnnotatorKind, Choice, Comparison, Noun, Prompt, Rating, Response, text_of

#: How many ids a finding names.
SHOWN = 5
NOT_A_WORD = re.compile(r"\W+")


class Example(NamedTuple):
    """A prompt with one completion that training would read."""

    prompt: Prompt
    completion: Response


class Decided(NamedTuple):
    """A pair of which more votes prefer one response."""

    prompt: Prompt
    chosen: Response
    rejected: Response


@dataclass
class Material:
    """Everything that was read: nouns by id, votes without those that are superseded.

    marks  the splits that each prompt is marked with, by its id
    """

    prompts: dict[str, Prompt] = field(default_factory=dict)
    responses: dict[str, Response] = field(default_factory=dict)
    annotators: dict[str, Annotator] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    ratings: list[Rating] = field(default_factory=list)
    marks: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def kind(self, annotator_id: str) -> AnnotatorKind:
        annotator = self.annotators.get(annotator_id)
        return annotator.kind if annotator else AnnotatorKind.HUMAN

    @cached_property
    def pairs(self) -> dict[tuple[str, str, str], list[Comparison]]:
        """The votes on each pair: (prompt id, and the two responses' ids in alphabetical order)."""
        pairs = defaultdict(list)
        for vote in self.comparisons:
            low, high = sorted((vote.left_id, vote.right_id))
            pairs[vote.prompt_id, low, high].append(vote)
        return dict(pairs)

    @cached_property
    def decided(self) -> list[Decided]:
        """The pairs of which more votes prefer one response than the other."""
        decided = []
        for (prompt_id, low, high), votes in self.pairs.items():
            wins = Counter(preferred(vote) for vote in votes)
            if wins[low] != wins[high]:
                chosen, rejected = (low, high) if wins[low] > wins[high] else (high, low)
                decided.append(Decided(self.prompts[prompt_id], self.responses[chosen], self.responses[rejected]))
        return decided

    @cached_property
    def examples(self) -> list[Example]:
        """Every response that was judged or is to be imitated, once, with its prompt."""
        wanted = [r.id for r in self.responses.values() if r.demonstration]
        wanted += [rating.response_id for rating in self.ratings]
        wanted += [id for vote in self.comparisons for id in (vote.left_id, vote.right_id)]
        responses = (self.responses[id] for id in dict.fromkeys(wanted))
        return [Example(self.prompts[response.prompt_id], response) for response in responses]


def gather(nouns: Iterable[Noun]) -> Material:
    """Reads all `nouns`. The first of two with one id counts, as in the store; marks are kept of both."""
    material = Material()
    comparisons: dict[str, Comparison] = {}
    ratings: dict[str, Rating] = {}
    for noun in nouns:
        match noun:
            case Prompt():
                material.prompts.setdefault(noun.id, noun)
                material.marks[noun.id].add(noun.split)
            case Response():
                material.responses.setdefault(noun.id, noun)
            case Annotator():
                material.annotators.setdefault(noun.id, noun)
            case Comparison():
                comparisons.setdefault(noun.id, noun)
            case Rating():
                ratings.setdefault(noun.id, noun)
    superseded = {v.supersedes for v in comparisons.values()} | {r.supersedes for r in ratings.values()}
    material.comparisons = [vote for vote in comparisons.values() if vote.id not in superseded and not vote.withdrawn]
    material.ratings = [rating for rating in ratings.values() if rating.id not in superseded and not rating.withdrawn]
    return material


def preferred(vote: Comparison) -> str | None:
    """The id of the response that the vote is for, or None for a tie and for both bad."""
    return {Choice.LEFT: vote.left_id, Choice.RIGHT: vote.right_id}.get(vote.choice)


def words(noun: Prompt | Response) -> str:
    """The text without what two careless copies of it differ in: case, spaces, punctuation."""
    text = text_of(noun.content)
    return NOT_A_WORD.sub(" ", text.casefold()).strip() or text.strip()


def some(ids: Iterable[str]) -> tuple[str, ...]:
    """The first few of `ids`, each once: as many as a finding names."""
    return tuple(islice(dict.fromkeys(ids), SHOWN))
