"""What speaks against annotators (`quality.bad_hands`), from comparisons and what is known of how they came about."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from accord.feedback import Annotator, Comparison
from accord.quality.bad_hands import Finding, Kind, Report, bad_hands, failed_controls, weights
from accord.quality.ballots import PairVotes, of_people, pair_votes
from accord.quality.groups import Groups


class Evidence(NamedTuple):
    """said: the votes that were looked through, those of people; report: what was found, annotators as in `said`."""

    said: PairVotes
    report: Report

    def weights(self) -> dict[str, float]:
        """What the votes of those count against whom something speaks, by id: `weights` of `quality.labels`.

        That somebody's votes say little is left to methods that learn reliability: were it counted here, whoever is of
        another taste than most could be silenced by them.
        """
        counted = [finding for finding in self.report.findings if finding.kind is not Kind.SAYS_LITTLE]
        return _below_one(counted, self.said.annotators)


def weights_by_controls(controls: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """The same by control questions alone, passed and failed: of whoever compared nothing."""
    passed_J2 = np.array(list(controls.values()), np.int64).reshape(-1, 2)
    ids = list(controls)
    return _below_one(failed_controls(passed_J2[:, 0], passed_J2[:, 1], ids), ids)


def _below_one(findings: Sequence[Finding], ids: Sequence[str]) -> dict[str, float]:
    weight_J = weights(findings, ids).tolist()
    return {one: weight for one, weight in zip(ids, weight_J, strict=True) if weight < 1}


def evidence(
    comparisons: Iterable[Comparison],
    annotators: Iterable[Annotator] = (),
    *,
    characters: Mapping[str, int] | None = None,
    controls: Mapping[str, tuple[int, int]] | None = None,
    groups: Groups | None = None,
    seed: int = 0,
) -> Evidence:
    """All that speaks against annotators. What a file states is nobody's vote.

    characters  how long each prompt and each response is, by id: tells who cannot have read what they judged
    controls    annotator id -> control questions passed, failed
    groups      who has which taste, where there are two: each is measured by those of their own

    Raises ValueError where nobody has compared anything.
    """
    said = pair_votes(of_people(comparisons, annotators))
    known = _circumstances(said, characters or {}, controls or {})
    if groups and groups.groups:
        first = groups.of(1)
        known["group_J"] = np.array([1 if one in first else 2 for one in said.annotators])
    return Evidence(said, bad_hands(said.votes, ids=said.annotators, seed=seed, **known))


def _circumstances(
    said: PairVotes, characters: Mapping[str, int], controls: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """When and how fast the votes were cast, and how control questions were answered, as `bad_hands` takes them."""

    def read(vote: Comparison) -> float:
        ids = vote.prompt_id, vote.left_id, vote.right_id
        return sum(characters[id] for id in ids) if all(id in characters for id in ids) else np.nan

    known: dict[str, Any] = {
        "at_N": np.array([vote.at.timestamp() for vote in said.comparisons]),
        "seconds_N": np.array([np.nan if vote.seconds is None else vote.seconds for vote in said.comparisons]),
        "characters_N": np.array([read(vote) for vote in said.comparisons], dtype=float),
    }
    if controls:
        passed_J2 = np.array([controls.get(one, (0, 0)) for one in said.annotators])
        known |= {"passed_J": passed_J2[:, 0], "failed_J": passed_J2[:, 1]}
    return known
