"""What the routes work with: one project, served."""

import secrets
import threading
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accord.feedback import User
from accord.store import Store
from accord.store.arena import ArenaVotes
from accord.store.asking import Asking, Cast
from accord.store.campaigns import Campaigns
from accord.store.controls import Controls
from accord.store.invites import Invites
from accord.store.material import Material
from accord.store.people import People
from accord.store.progress import Progress
from accord.web.accounts.throttle import Throttle
from accord.web.arena.conversations import Conversations
from accord.web.security import Addresses
from accord.web.together import Together

if TYPE_CHECKING:
    from accord.web.figures import Kept
    from accord.web.schemas import Saved
    from accord.web.surveys import Surveys


class Entrance:
    """A secret that opens the door once: for the person at this machine, or for a team's first administrator."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(32)
        self._used = False
        self._lock = threading.Lock()

    def opens(self, secret: str) -> bool:
        """Whether `secret` is the one, and was not used before."""
        return not self._used and secrets.compare_digest(secret.encode(), self.secret.encode())

    def use(self, secret: str) -> bool:
        """As `opens`; it does not open again."""
        with self._lock:
            opened = self.opens(secret)
            self._used = self._used or opened
            return opened


@dataclass
class Site:
    """A project with its votes and runs, and how it is served.

    team          people log in with accounts; else there is one person, at this machine
    addresses     under which the server answers
    cookie        the session cookie's name
    worker        answers in the arena (`web.arena.worker.ModelWorker`); None where there is no arena
    local         the person at this machine; None for a team
    behind_proxy  all requests come through a proxy, which says from where in X-Forwarded-For
    throttle      slows down those who guess passwords
    """

    name: str
    store: Store
    runs: Path
    model: str
    addresses: Addresses
    team: bool = False
    cookie: str = "accord"
    worker: Any = None
    local: User | None = None
    behind_proxy: bool = False
    entrance: Entrance = field(default_factory=Entrance)
    throttle: Throttle = field(default_factory=Throttle)

    def __post_init__(self) -> None:
        self.people = People(self.store)
        self.invites = Invites(self.store)
        self.campaigns = Campaigns(self.store)
        self.asking = Asking(self.store)
        self.controls = Controls(self.store)
        self.material = Material(self.store)
        self.progress = Progress(self.store)
        self.arena = ArenaVotes(self.store)
        self.conversations = Conversations()
        self.secure = all(origin.startswith("https://") for origin in self.addresses.origins)

    @cached_property
    def figures(self) -> "Kept":
        """The figures of campaigns."""
        from accord.web.figures import Kept  # loads NumPy

        return Kept(self.store)

    @cached_property
    def surveys(self) -> "Surveys":
        """What is known of the votes."""
        from accord.web.surveys import Surveys  # loads what starts processes

        return Surveys(self.store.url)

    @cached_property
    def votes(self) -> "Together[Cast, Saved]":
        """Where votes are brought to be saved."""
        from accord.web.voting import keep_all  # loads Markdown

        return Together(partial(keep_all, self.asking))
