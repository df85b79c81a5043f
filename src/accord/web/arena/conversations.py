"""Conversations in the Arena: a person and two models, neither of which is named.

They live in this process alone; what was voted is in the store. Each message makes a round: both models answer it, on
sides that are drawn anew, and the conversation goes on from the answer that is preferred. So both always see the same.
"""

import asyncio
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from accord.feedback import Choice, Message
from accord.store.asking import Conflict

#: Seconds after which a conversation in which nothing happens is forgotten.
IDLE = 2 * 3600.0
#: Conversations that are remembered, those used last: of one person, and of all.
PER_USER, MOST = 3, 1000
#: Messages of a person in one conversation: with each vote, all of it is kept.
MOST_MESSAGES = 50
#: Characters of an answer, after which it is cut: tokens may be long.
LONGEST = 50_000


class Contender(NamedTuple):
    """A model that may meet others.

    name      as it is told to curators, and kept with its answers; no two have the same
    source    what the worker is asked for
    base      the name of the contender that it began as; "" where there is none
    finished  it is no run, or one that came to its end
    """

    name: str
    source: str
    base: str = ""
    finished: bool = True


@dataclass
class Answer:
    """What one of them says. `ended`: nothing more comes; `finished`: and that was its own doing."""

    text: str = ""
    ended: bool = False
    finished: bool = False


@dataclass
class Round:
    """A message and what both answer. `two` and `answers` stand as on the screen, the left one first.

    sampling   how the answers are drawn
    answering  they are still at it
    task       that in which they are
    """

    message: str
    two: tuple[Contender, Contender]
    sampling: dict[str, Any]
    answers: tuple[Answer, Answer] = field(default_factory=lambda: (Answer(), Answer()))
    answering: bool = True
    task: asyncio.Task[Any] | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped them before they had ended."""
        return not self.answering and not all(answer.ended for answer in self.answers)

    @property
    def alike(self) -> bool:
        """Whether both say the same, so that neither can be better."""
        return self.answers[0].text.strip() == self.answers[1].text.strip()

    @property
    def comparable(self) -> bool:
        """Whether there is something of both: an answer that was stopped before its first word is none."""
        return all(answer.ended or answer.text for answer in self.answers)


@dataclass
class Conversation:
    """`messages` were said and decided about; `round` is what is not, None where the person may write.

    lock  is held by whoever begins a round or decides about one
    used  when somebody last came for it
    """

    user_id: str
    two: tuple[Contender, Contender]
    used: float
    messages: tuple[Message, ...] = ()
    round: Round | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def ask(self, message: str, two: tuple[Contender, Contender], sampling: dict[str, Any]) -> Round:
        """Begins a round. Raises Conflict where one is not decided yet, or there were many."""
        with self.lock:
            if self.round is not None:
                busy = "both are still answering (stop them, or wait)"
                raise Conflict(busy if self.round.answering else "say first which answer is better, or skip them")
            if len(self.messages) >= 2 * MOST_MESSAGES:
                raise Conflict("this conversation is long enough (begin a new one)")
            self.round = Round(message, two, sampling)
            return self.round

    def settle(self, round: Round, *, failed: bool = False) -> bool:
        """Nothing more comes in this round. Gives whether it stands; else it is as if nothing had been asked."""
        if round.answering:
            round.answering = False
            if (failed or not round.comparable) and self.round is round:
                self.round = None
        return self.round is round

    def answered(self, round_id: str) -> Round:
        """The round that waits for a decision. Raises Conflict where that is another, or none."""
        if self.round is None or self.round.id != round_id:
            raise Conflict("these answers were decided about before (load the page again)")
        if self.round.answering:
            raise Conflict("both are still answering (stop them, or wait)")
        return self.round

    def asked(self, round: Round) -> tuple[Message, ...]:
        """What both are given in this round."""
        return (*self.messages, Message("user", round.message))

    def go_on(self, round: Round, choice: Choice) -> None:
        """The round is decided: the answer that is preferred is what was said."""
        said = round.answers[1 if choice is Choice.RIGHT else 0].text
        self.messages = (*self.asked(round), Message("assistant", said))
        self.round = None


class Conversations:
    """Those that are remembered. `clock` gives seconds, `rng` draws who meets, on which side, and with which seed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, rng: random.Random | None = None):
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Conversation] = OrderedDict()  # those used last stand last

    def begin(self, user_id: str, contenders: Sequence[Contender]) -> Conversation:
        """A new one, with two of `contenders`, of which there must be two or more."""
        first, second = self._rng.sample(contenders, 2)
        with self._lock:
            self._forget()
            own = [known.id for known in self._known.values() if known.user_id == user_id]
            for id in own[: max(0, len(own) + 1 - PER_USER)]:
                del self._known[id]
            while len(self._known) >= MOST:
                self._known.popitem(last=False)
            made = Conversation(user_id, (first, second), self._clock())
            self._known[made.id] = made
            return made

    def get(self, user_id: str, id: str) -> Conversation | None:
        """The person's conversation; None where it is forgotten, or another's."""
        with self._lock:
            self._forget()
            found = self._known.get(id)
            if found is None or found.user_id != user_id:
                return None
            found.used = self._clock()
            self._known.move_to_end(id)
            return found

    def draw(self, conversation: Conversation) -> tuple[tuple[Contender, Contender], int]:
        """Who answers on the left and who on the right this time, and the seed of both."""
        left, right = self._rng.sample(conversation.two, 2)
        return (left, right), self._rng.randrange(2**31)

    def _forget(self) -> None:
        while self._known and self._clock() - next(iter(self._known.values())).used > IDLE:
            self._known.popitem(last=False)
