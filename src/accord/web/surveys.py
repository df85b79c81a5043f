"""Surveys of votes (`quality.survey`), made in a process of their own: whoever votes meanwhile must not wait for it."""

import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from typing import Any, NamedTuple

from accord.feedback import text_of
from accord.store import Store
from accord.store.controls import Controls


class Look(NamedTuple):
    """What a survey found, in brief, and when; None where none was made yet, or nobody has compared anything.

    making  whether one is being made
    wrong   why the last could not be made, "" where it could
    """

    found: dict[str, Any] | None = None
    at: datetime | None = None
    making: bool = False
    wrong: str = ""


class Surveys:
    """Of the votes of each campaign, or of all ("")."""

    def __init__(self, url: str):
        self._url = url
        self._lock = threading.Lock()
        self._looks: dict[str, Look] = {}

    def of(self, campaign: str, *, again: bool = False) -> Look:
        """The last one. Begins to make one where there is none, or when it is asked for `again`."""
        with self._lock:
            look = self._looks.get(campaign, Look())
            if not look.making and (again or look.at is None):
                look = self._looks[campaign] = look._replace(making=True, wrong="")
                threading.Thread(target=self._make, args=(campaign,), daemon=True).start()
            return look

    def _make(self, campaign: str) -> None:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=os.nice, initargs=(10,)) as process:
            done: Future[dict[str, Any] | None] = process.submit(survey_of, self._url, campaign)
            trouble = done.exception()
        look = Look(None if trouble else done.result(), datetime.now(UTC))
        if trouble:
            look = look._replace(wrong=(str(trouble).splitlines() or [type(trouble).__name__])[0])
        with self._lock:
            self._looks[campaign] = look


def survey_of(url: str, campaign: str) -> dict[str, Any] | None:
    """The survey of a campaign's votes, or of all (""), in brief; None where no people have compared anything."""
    from accord.quality.survey import survey  # loads SciPy

    with Store.open(url) as store:
        votes = [vote for vote in store.comparisons() if not campaign or vote.extra.get("campaign") == campaign]
        texts = {prompt.id: text_of(prompt.content) for prompt in store.prompts()}
        texts |= {response.id: text_of(response.content) for response in store.responses()}
        annotators, controls = list(store.annotators()), Controls(store).outcomes()
    try:
        found = survey(votes, annotators, characters={id: len(text) for id, text in texts.items()}, controls=controls)
    except ValueError:
        return None
    return found.brief(texts)
