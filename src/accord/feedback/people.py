"""Who may do what in the web app."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do. Each may do all that the ones before it may."""

    ANNOTATOR = "annotator"  # votes
    CURATOR = "curator"  # makes campaigns, sees votes and runs, invites annotators
    ADMIN = "admin"  # manages people

    def may(self, needed: "Role") -> bool:
        """Whether this role includes `needed`."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account. `annotator_id` is the name that their votes have.

    local  the person at this machine, who has no password
    """

    id: str
    name: str
    annotator_id: str
    role: Role
    created: datetime
    active: bool = True
    local: bool = False


@dataclass(frozen=True, slots=True)
class Invite:
    """A link that makes accounts. `id` is a part of its secret's hash, for lists; the secret itself is not kept."""

    id: str
    role: Role
    note: str
    created_by: str
    created: datetime
    expires: datetime
    uses_left: int


@dataclass(frozen=True, slots=True)
class Token:
    """A key to the API. `id` as in `Invite`."""

    id: str
    name: str
    user_id: str
    created: datetime
    expires: datetime | None
