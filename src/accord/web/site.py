"""What the routes work with: one project, served."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accord.feedback import User
from accord.store import Store
from accord.store.asking import Asking
from accord.store.campaigns import Campaigns
from accord.store.people import People
from accord.store.progress import Progress
from accord.web.security import Addresses


class Entrance:
    """A secret that opens the door once: for the person at this machine, or for a team's first administrator."""

    def __init__(self) -> None:
        self.secret = secrets.token_urlsafe(32)
        self._used = False

    def opens(self, secret: str) -> bool:
        """Whether `secret` is the one, and was not used before."""
        return not self._used and secrets.compare_digest(secret.encode(), self.secret.encode())

    def use(self, secret: str) -> bool:
        """As `opens`; it does not open again."""
        opened = self.opens(secret)
        self._used = self._used or opened
        return opened


@dataclass
class Site:
    """A project with its votes and runs, and how it is served.

    team       people log in with accounts; else there is one person, at this machine
    addresses  under which the server answers
    cookie     the session cookie's name
    worker     answers in the arena (`web.worker.ModelWorker`); None where there is no arena
    local      the person at this machine; None for a team
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
    entrance: Entrance = field(default_factory=Entrance)

    def __post_init__(self) -> None:
        self.people = People(self.store)
        self.campaigns = Campaigns(self.store)
        self.asking = Asking(self.store)
        self.progress = Progress(self.store)
        self.secure = all(origin.startswith("https://") for origin in self.addresses.origins)
