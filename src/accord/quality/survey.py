"""All that comparisons tell of the people who made them, and of the labels that come out: for `accord quality`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from accord.feedback import COIN, Annotator, AnnotatorKind, Choice, Comparison, PairLabel, beginning
from accord.quality.agreement import (
    Agreement,
    Measured,
    ac1,
    agreement,
    opinions_of_pairs,
    opinions_of_strengths,
    ordinal_alpha,
)
from accord.quality.agreement_by import Part, agreement_by_prompt, agreement_by_tag, agreement_by_time
from accord.quality.agreement_without import without_each
from accord.quality.bad_hands import Finding
from accord.quality.ballots import PairVotes, of_people
from accord.quality.bradley_terry import fit
from accord.quality.dawid_skene import TIE, A
from accord.quality.evidence import Evidence, evidence
from accord.quality.groups import Groups, find_groups
from accord.quality.labels import LABELS, pair_labels
from accord.quality.wilson import wilson

#: Letters of a text that are shown.
BEGINNING = 120


@dataclass(frozen=True, slots=True)
class Voter:
    """One annotator.

    ties, left    shares of their votes; `left` of those that are no ties and whose sides were shuffled, None without
    knowledge     share of the questions answered with knowledge, with its standard error
    without_them  by how much α of all would rise without them; None where that is not known
    weight        what is left of their votes with `weights` of `quality.evidence`
    suspect       whether anything was found against them
    first_group   probability that they are of the first group; None where one taste explains the votes
    """

    annotator_id: str
    votes: int
    ties: float
    left: float | None
    knowledge: float
    knowledge_error: float
    without_them: float | None
    weight: float
    suspect: bool
    first_group: float | None


@dataclass(frozen=True, slots=True)
class Labels:
    """What a method makes of the votes. `tosses`: how many of the `pairs` are close to a coin toss, |p − ½| < COIN;
    `low` and `high`: the 95 % interval of their share (Wilson's)."""

    method: str
    pairs: int
    tosses: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What the votes make of one pair.

    p          method -> P(first better) + ½ P(both alike)
    low, high  the 95 % interval of bradley_terry's: what more votes may yet move it to
    """

    prompt_id: str
    first_id: str
    second_id: str
    votes: int
    p: Mapping[str, float]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything about the votes of people: those that a file states are left out.

    simulated   how many of the annotators are programs
    strengths   agreement where strengths are numbers; None where nobody stated one
    groups      whether one taste explains the votes, or two; None where too few people voted to tell
    findings    what speaks against annotators, with the evidence; nobody is removed
    """

    votes: int
    pairs: int
    annotators: int
    simulated: int
    choices: Mapping[str, int]
    agreement: Agreement
    strengths: Measured | None
    ac1: Measured
    groups: Groups | None
    labels: Sequence[Labels]
    judged: Sequence[Judged]
    voters: Sequence[Voter]
    findings: Sequence[Finding]
    by_prompt: Sequence[Part]
    by_tag: Sequence[Part]
    by_time: Sequence[Part]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def brief(self, texts: Mapping[str, str], most: int = 20) -> dict[str, Any]:
        """Plain values for a page: of each list the `most` that tell the most, `of` how many there are, and `texts`:
        the beginnings of those that are named, by id."""
        prompts = sorted(
            (part for part in self.by_prompt if part.alpha is not None), key=lambda part: part.alpha or 0.0
        )
        splits = self.groups.splits if self.groups else []
        found = self.to_json() | {"by_prompt": [asdict(part) for part in prompts[:most]]}
        of = {
            "by_prompt": len(prompts),
            "findings": len(self.findings),
            "voters": len(self.voters),
            "splits": len(splits),
        }
        found["findings"] = [asdict(one) for one in _of_each_kind(self.findings)[:most]]
        for name in ("voters", "by_tag"):
            found[name] = found[name][:most]
        if found["groups"]:
            found["groups"] |= {"splits": found["groups"]["splits"][:most], "members": None}
        named = {part["name"] for part in found["by_prompt"]}
        named |= {id for split in splits[:most] for id in (split.prompt_id, split.first_choice, split.second_choice)}
        return found | {"of": of, "texts": {id: beginning(texts[id], BEGINNING) for id in sorted(named) if id in texts}}


def survey(
    comparisons: Iterable[Comparison],
    annotators: Iterable[Annotator] = (),
    *,
    characters: Mapping[str, int] | None = None,
    controls: Mapping[str, tuple[int, int]] | None = None,
    methods: Sequence[str] = tuple(LABELS),
    judged: bool = False,
    seed: int = 0,
) -> Survey:
    """A survey of `comparisons`.

    characters  how long each prompt and each response is, by id: tells who cannot have read what they judged
    controls    annotator id -> control questions passed, failed
    judged      also tell of each pair

    Raises ValueError where nobody has compared anything.
    """
    annotators = list(annotators)
    kinds = {annotator.id: annotator.kind for annotator in annotators}
    by_people = of_people(comparisons, annotators)
    groups = find_groups(by_people, characters=characters)
    proof = evidence(by_people, characters=characters, controls=controls, groups=groups, seed=seed)
    said, found = proof
    opinions = list(opinions_of_pairs(by_people))
    without = {one.annotator: one.change for one in without_each(opinions)}
    weighed = {method: pair_labels(by_people, method) for method in methods}
    stated = any(vote.strength is not None for vote in said.comparisons)
    return Survey(
        votes=len(said.comparisons),
        pairs=len(said.pairs),
        annotators=len(said.annotators),
        simulated=sum(kinds.get(one) is AnnotatorKind.SIMULATED for one in said.annotators),
        choices={choice.value: n for choice, n in Counter(vote.choice for vote in said.comparisons).items()},
        agreement=agreement(opinions, seed=seed),
        strengths=ordinal_alpha(opinions_of_strengths(by_people), seed=seed) if stated else None,
        ac1=ac1(opinions, seed=seed),
        groups=groups,
        labels=[_labels(method, labels) for method, labels in weighed.items()],
        judged=_judged(said, weighed) if judged else [],
        voters=_voters(proof, without, groups),
        findings=found.findings,
        by_prompt=agreement_by_prompt(by_people),
        by_tag=agreement_by_tag(by_people),
        by_time=agreement_by_time(by_people),
    )


def _of_each_kind(findings: Sequence[Finding]) -> list[Finding]:
    """The clearest of every kind first, then the second of every kind, and so on."""
    places = Counter[str]()
    ranked = []
    for finding in findings:
        places[finding.kind] += 1
        ranked.append((places[finding.kind], finding))
    return [finding for _, finding in sorted(ranked, key=lambda each: each[0])]


def _labels(method: str, labels: Sequence[PairLabel]) -> Labels:
    p = [label.p_chosen for label in labels if label.weight]
    tosses = sum(each - 0.5 < COIN for each in p)
    low, high = wilson(tosses, len(p)) if p else (0.0, 1.0)
    return Labels(method, len(p), tosses, low, high)


def _judged(said: PairVotes, weighed: Mapping[str, Sequence[PairLabel]]) -> list[Judged]:
    interval_I2 = fit(said.votes).interval_I2().tolist()
    judged = []
    of_each = zip(said.pairs, np.bincount(said.votes.item_N).tolist(), interval_I2, *weighed.values(), strict=True)
    for (prompt_id, a, b), n, (low, high), *labels in of_each:
        p = [label.p_chosen if label.chosen_id == a else 1 - label.p_chosen for label in labels]
        judged.append(Judged(prompt_id, a, b, n, dict(zip(weighed, p, strict=True)), low, high))
    return judged


def _voters(proof: Evidence, without: Mapping[str, float | None], groups: Groups | None) -> list[Voter]:
    """Who voted most comes first."""
    said, weights, known = proof.said, proof.weights(), proof.report.known_J
    members = (groups.members if groups else None) or {}
    suspects = {finding.annotator_id for finding in proof.report.findings}
    votes: dict[str, list[Comparison]] = {}
    for vote in said.comparisons:
        votes.setdefault(vote.annotator_id, []).append(vote)
    left: dict[str, list[bool]] = {}
    for number, side, answer in zip(
        said.votes.annotator_N.tolist(), said.votes.side_N.tolist(), said.votes.vote_N.tolist(), strict=True
    ):
        if side and answer != TIE:
            left.setdefault(said.annotators[number], []).append((answer == A) == (side == 1))
    return sorted(
        (
            Voter(
                one,
                len(votes[one]),
                sum(vote.choice in (Choice.TIE, Choice.BOTH_BAD) for vote in votes[one]) / len(votes[one]),
                float(np.mean(left[one])) if one in left else None,
                float(known.mean_J[j]),
                float(known.se_J[j]),
                without.get(one),
                weights.get(one, 1.0),
                one in suspects,
                members.get(one),
            )
            for j, one in enumerate(said.annotators)
        ),
        key=lambda voter: (-voter.votes, voter.annotator_id),
    )
