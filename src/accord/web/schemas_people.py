"""What the JSON API takes and gives of people."""

from datetime import datetime

from pydantic import BaseModel, Field

from accord.feedback import Role
from accord.web.schemas import Body, Text


class Me(BaseModel):
    """Who the session or the token stands for. `annotator` is the name that their votes have."""

    id: str
    name: str
    role: Role
    annotator: str


class Person(Me):
    """An account. `answers`: how many questions they have answered, in all campaigns."""

    active: bool
    created: datetime
    answers: int


class PersonChange(Body):
    """What is to be different; what is left out stays."""

    role: Role | None = None
    active: bool | None = None


class NewInvite(Body):
    """A link that makes accounts: so many, within so many days."""

    role: Role = Role.ANNOTATOR
    days: float = Field(default=7, gt=0, le=90)
    uses: int = Field(default=1, ge=1, le=1_000)
    note: Text = Field(default="", max_length=200)


class InviteOut(BaseModel):
    """An invitation that can still be used. `by` is the name of who made it."""

    id: str
    role: Role
    note: str
    by: str
    created: datetime
    expires: datetime
    uses_left: int


class InviteMade(BaseModel):
    """A new invitation. The link is not kept: this is the only answer that has it."""

    link: str
    role: Role
    expires: datetime
    uses_left: int
