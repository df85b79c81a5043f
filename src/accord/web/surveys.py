"""Surveys of votes (`quality.survey`), made in a process of their own: whoever votes meanwhile must not wait for it."""

import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, cast

from accord.feedback import text_of
from accord.quality.ballots import of_people
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
        self._turn = threading.Lock()  # one survey at a time
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
        with self._turn:
            try:
                look = Look(_apart(self._url, campaign), datetime.now(UTC))
            except Exception as error:  # whatever it is, whoever waits for the page is told
                last, why = self._looks[campaign], (str(error).splitlines() or [type(error).__name__])[0]
                look = Look(last.found, last.at or datetime.now(UTC), wrong=why)
        with self._lock:
            self._looks[campaign] = look


def _apart(url: str, campaign: str) -> dict[str, Any] | None:
    """`survey_of` in a process that ends when this one does. Raises RuntimeError where it fails."""
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, url, campaign), daemon=True)
    process.start()
    theirs.close()  # else a process that dies would be waited for
    try:
        found, wrong = ours.recv()
    except EOFError:
        found, wrong = None, "the process that looked through the votes has ended: too little memory?"
    process.join()
    if wrong:
        raise RuntimeError(wrong)
    return cast("dict[str, Any] | None", found)


def _work(told: Connection, url: str, campaign: str) -> None:
    with suppress(AttributeError):  # where there is no nice
        os.nice(10)
    try:
        told.send((survey_of(url, campaign), ""))
    except Exception as error:
        told.send((None, str(error) or type(error).__name__))


def survey_of(url: str, campaign: str) -> dict[str, Any] | None:
    """The survey of a campaign's votes, or of all (""), in brief; None where no people have compared anything."""
    from accord.quality.survey import survey  # loads SciPy

    with Store.open(url) as store:
        votes = [vote for vote in store.comparisons() if not campaign or vote.extra.get("campaign") == campaign]
        texts = {prompt.id: text_of(prompt.content) for prompt in store.prompts()}
        texts |= {response.id: text_of(response.content) for response in store.responses()}
        annotators, controls = list(store.annotators()), Controls(store).outcomes()
    if not of_people(votes, annotators):
        return None
    characters = {id: len(text) for id, text in texts.items()}
    return survey(votes, annotators, characters=characters, controls=controls).brief(texts)
