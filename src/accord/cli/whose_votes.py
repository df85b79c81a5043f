"""Whose votes are trained on, and what each counts: a group's, and less of those against whom something speaks."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from accord.cli.options import DataOptions
from accord.cli.reading import Votes, database_of
from accord.feedback import AccordError, Annotator, Comparison
from accord.quality.ballots import of_people
from accord.store import Store
from accord.store.controls import Controls

#: Votes that are looked through on the way to training.
MOST = 20_000


def hear(votes: Votes, data: DataOptions, notes: list[str]) -> None:
    """Keeps the votes of the group that was asked for, and finds what each annotator's votes count.

    Raises AccordError where there is no such group.
    """
    annotators = list(votes.annotators.values())
    if data.weigh_annotators:
        lengths = {id: len(text) for id, text in votes.texts.items()}
        votes.weights = weights(votes.comparisons, annotators, lengths, controls(data))
        notes.append(f"{len(votes.weights)} annotators weighed down (see accord quality)")
    if data.group is not None:
        chosen = members(data.group, votes.comparisons, annotators)
        voters = {vote.annotator_id for vote in votes.comparisons}
        votes.comparisons = [vote for vote in votes.comparisons if vote.annotator_id in chosen]
        votes.ratings = [vote for vote in votes.ratings if vote.annotator_id in chosen]
        votes.annotators = {id: annotator for id, annotator in votes.annotators.items() if id in chosen}
        notes.append(f"for group {data.group}: the votes of {len(chosen & voters)} of {len(voters)} annotators")


def quality(
    comparisons: Sequence[Comparison], annotators: Sequence[Annotator], texts: Mapping[str, str], data: DataOptions
) -> dict[str, Any] | None:
    """What there is to know of the votes, in brief (`quality.survey`); None where there are no votes of people, or more
    than MOST: then `accord quality` tells it, which takes minutes."""
    from accord.quality.survey import survey  # loads SciPy

    said = of_people(comparisons, annotators)
    if not 0 < len(said) <= MOST:
        return None
    characters = {id: len(text) for id, text in texts.items()}
    console = Console(stderr=True)
    try:
        with console.status(f"Looking through {len(said):,} votes"):
            return survey(said, annotators, characters=characters, controls=controls(data)).brief(texts)
    except Exception as error:  # training is what was asked for
        console.print(f"the votes could not be looked through, and the report does without ({error})", soft_wrap=True)
        return None


def members(number: int, comparisons: Sequence[Comparison], annotators: Sequence[Annotator]) -> set[str]:
    """Ids of the annotators of group 1, the larger, or 2. Raises AccordError where the votes tell of no two."""
    from accord.quality.groups import find_groups  # loads SciPy

    if not of_people(comparisons, annotators):
        raise AccordError("group: groups are told by people's comparisons, and there are none")
    found = find_groups(comparisons, annotators)
    if found is None:
        raise AccordError("group: too few people voted to tell groups apart: leave out --group")
    if not found.groups:
        raise AccordError(
            f"group: one taste explains the votes as well as two ({found.gain:+.4f} ± {found.error:.4f} nats a vote): "
            "leave out --group (see accord quality)"
        )
    return found.of(number)


def weights(
    comparisons: Sequence[Comparison],
    annotators: Sequence[Annotator],
    characters: Mapping[str, int],
    passed: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """What the votes of those count against whom something speaks, by id: by all of their comparisons, and by control
    questions of any kind."""
    from accord.quality.evidence import evidence, weights_by_controls  # loads SciPy

    compared = of_people(comparisons, annotators)
    found = evidence(compared, characters=characters, controls=passed).weights() if compared else {}
    known = {vote.annotator_id for vote in compared}
    return found | weights_by_controls({one: each for one, each in passed.items() if one not in known})


def controls(data: DataOptions) -> dict[str, tuple[int, int]]:
    """How annotators did on control questions, passed and failed; files know of none."""
    if (database := database_of(data.dataset_name or [])) is None:
        return {}
    with Store.open(database) as store:
        return Controls(store).outcomes()
