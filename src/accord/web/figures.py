"""The numbers of a campaign: how its answers came in, who gave them and how, and how far people agree."""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any, NamedTuple
from zlib import crc32

from accord.feedback import AnnotatorKind, Campaign, Choice, Form
from accord.quality.agreement import Agreement, Opinion, agreement
from accord.quality.wilson import wilson
from accord.store import Store
from accord.store.progress import Decision, Progress

#: Figures that took longer than so many seconds are not made again within so many others.
SLOW, REST = 0.5, 15.0


class Share(NamedTuple):
    """`k` in `n`, with its 95 % interval (Wilson's)."""

    k: int
    n: int

    @property
    def value(self) -> float:
        return self.k / self.n

    @property
    def bounds(self) -> tuple[float, float]:
        return wilson(self.k, self.n)


class Worker(NamedTuple):
    """How one annotator works. A share is None where there is nothing to count.

    seconds  that an answer takes: the median
    last     when the last decision was made
    left     the left one of two, of those answers that prefer one
    ties     ties, of all answers
    passed   control questions
    """

    annotator_id: str
    kind: AnnotatorKind
    answers: int
    skips: int
    seconds: float | None
    last: datetime
    left: Share | None
    ties: Share | None
    passed: Share | None


class Figures(NamedTuple):
    """Of one campaign. Control questions are left out, but for `workers`.

    times      when each answer was given, in order
    workers    the busiest first
    answers    what was answered -> how often: `left`, `tie`, `up` …
    strengths  how much better -> how often
    agreement  of the annotators
    """

    times: Sequence[datetime]
    skips: int
    workers: Sequence[Worker]
    answers: Mapping[str, int]
    strengths: Mapping[int, int]
    agreement: Agreement


class Kept:
    """Figures as they stand, made anew only when something was decided since."""

    def __init__(self, store: Store):
        self._store = store
        self._progress = Progress(store)
        self._lock = threading.Lock()
        self._found: dict[str, tuple[Hashable, float, Figures]] = {}

    def of(self, campaign: Campaign) -> Figures:
        """The campaign's figures. Where they take long, they may be a quarter of a minute old."""
        with self._lock:  # two who ask at once need them once
            stamp = self._progress.stamp(campaign.id)
            known, until, found = self._found.get(campaign.id, (None, 0.0, None))
            if found is not None and (stamp == known or time.monotonic() < until):
                return found
            began = time.monotonic()
            kinds = {annotator.id: annotator.kind for annotator in self._store.annotators()}
            made = figures(campaign.form, list(self._progress.decisions(campaign.id)), kinds)
            now = time.monotonic()
            self._found[campaign.id] = (stamp, now + REST if now - began > SLOW else now, made)
            return made


def figures(form: Form, decisions: Sequence[Decision], kinds: Mapping[str, AnnotatorKind]) -> Figures:
    """The figures of what was decided. Who is not in `kinds` is taken for a person."""
    by_annotator: dict[str, list[Decision]] = defaultdict(list)
    for one in decisions:
        by_annotator[one.annotator_id].append(one)
    ordinary = [one for one in decisions if one.answered and one.passed is None]
    workers = [_worker(id, made, kinds.get(id, AnnotatorKind.HUMAN)) for id, made in by_annotator.items()]
    return Figures(
        times=sorted(one.at for one in ordinary),
        skips=sum(not one.answered for one in decisions),
        workers=sorted(workers, key=lambda worker: (-worker.answers, worker.annotator_id)),
        answers=dict(Counter(map(_answer, ordinary)).most_common()),
        strengths=dict(sorted(Counter(filter(None, (one.answer.get("strength") for one in ordinary))).items())),
        agreement=agreement(opinions(form, ordinary)),
    )


def opinions(form: Form, answers: Iterable[Decision]) -> Iterator[Opinion]:
    """What the answers say, whatever stood where on the screen: see `quality.agreement`."""
    for one in answers:
        if form is Form.THUMB:
            yield Opinion(one.question_id, one.annotator_id, _answer(one))
        elif form is Form.PAIR:
            choice, (left, right) = one.answer["choice"], one.shown
            preferred = {Choice.LEFT: left, Choice.RIGHT: right}.get(choice)
            yield Opinion(one.question_id, one.annotator_id, _side(one.question_id, preferred, left, right) or choice)
        else:
            place = {one.shown[at]: n for n, group in enumerate(one.answer["ranking"]) for at in group}
            ranked = sorted(place)
            for i, a in enumerate(ranked):
                for b in ranked[i + 1 :]:
                    preferred = None if place[a] == place[b] else min(a, b, key=lambda id: place[id])
                    item = f"{one.question_id} {a} {b}"
                    yield Opinion(item, one.annotator_id, _side(item, preferred, a, b) or Choice.TIE)


def _side(item: str, preferred: str | None, a: str, b: str) -> str | None:
    """`first` or `second`, so that neither word means anything: a fair coin says which is the first of an item."""
    if preferred is None:
        return None
    first = min(a, b) if crc32(item.encode()) % 2 else max(a, b)
    return "first" if preferred == first else "second"


def _answer(one: Decision) -> str:
    said: Any = one.answer
    if "choice" in said:
        return said["choice"]
    if "desirable" in said:
        return "up" if said["desirable"] else "down"
    return "ranking" if all(len(group) == 1 for group in said["ranking"]) else "ranking with ties"


def _worker(annotator_id: str, decisions: Sequence[Decision], kind: AnnotatorKind) -> Worker:
    answers = [one for one in decisions if one.answered]
    said = Counter(map(_answer, answers))
    seconds = [one.seconds for one in answers if one.seconds is not None]
    controls = [one.passed for one in answers if one.passed is not None]
    sided = said[Choice.LEFT] + said[Choice.RIGHT]
    tied = said[Choice.TIE] + said["ranking with ties"]
    can_tie = len(answers) - said["up"] - said["down"]
    return Worker(
        annotator_id,
        kind,
        len(answers),
        len(decisions) - len(answers),
        median(seconds) if seconds else None,
        max(one.at for one in decisions),
        Share(said[Choice.LEFT], sided) if sided else None,
        Share(tied, can_tie) if can_tie else None,
        Share(sum(controls), len(controls)) if controls else None,
    )
