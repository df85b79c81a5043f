"""The tables behind the web app: campaigns with their questions, what annotators were shown, and who may come in."""

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
    text,
    true,
)

from accord.feedback import Form, Role, Turn
from accord.store.tables import Id, metadata, named, one_of

Moment = DateTime(timezone=True)

#: Whether a question is still to be asked. Queries say it in the same words, else SQLite does not see that they fit.
ASKED = text("open AND right_answer IS NULL AND answered < overlap")

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", Id, primary_key=True),
    Column("title", Text, nullable=False),
    Column("form", String, nullable=False),
    Column("created", Moment, nullable=False),
    Column("open", Boolean, nullable=False, server_default=true()),
    Column("settings", JSON, nullable=False),
    one_of("form", Form),
    named(),
)

guidelines = Table(
    "guidelines",
    metadata,
    Column("campaign_id", Id, ForeignKey("campaigns.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

questions = Table(
    "questions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("campaign_id", Id, ForeignKey("campaigns.id"), nullable=False),
    Column("prompt_id", Id, ForeignKey("prompts.id"), nullable=False),
    Column("response_ids", JSON, nullable=False),
    Column("rank", Float(53), nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("right_answer", Text, nullable=True),  # of a control question
    Column("reason", Text, nullable=False),
    Column("named", Text, nullable=False),
    Column("answered", Integer, nullable=False, server_default="0"),
    Column("open", Boolean, nullable=False, server_default=true()),
    CheckConstraint("overlap > 0", name="overlap"),
    named(),
    Index(None, "campaign_id", "rank", "id"),
    # What is still to be asked, in its order: only these rows are looked through for the next question.
    Index(
        "ix_questions_wanted",
        "campaign_id",
        "rank",
        "id",
        sqlite_where=ASKED,
        postgresql_where=ASKED,
    ),
)

assignments = Table(
    "assignments",
    metadata,
    Column("question_id", Id, ForeignKey("questions.id"), primary_key=True),
    Column("annotator_id", Id, ForeignKey("annotators.id"), primary_key=True),
    Column("campaign_id", Id, ForeignKey("campaigns.id"), nullable=False),
    Column("shown", JSON, nullable=False),
    Column("turn", String, nullable=False),
    Column("until", Moment, nullable=False),
    Column("at", Moment, nullable=False),
    Column("seconds", Float(53), nullable=True),
    Column("vote_id", Id, nullable=True),
    Column("answer", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("passed", Boolean, nullable=True),
    one_of("turn", Turn),
    Index(None, "campaign_id", "annotator_id", "turn", "at"),
)

flags = Table(
    "flags",
    metadata,
    Column("id", Id, primary_key=True),
    Column("question_id", Id, ForeignKey("questions.id"), nullable=False),
    Column("campaign_id", Id, ForeignKey("campaigns.id"), nullable=False),
    Column("annotator_id", Id, ForeignKey("annotators.id"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("resolved", Boolean, nullable=False, server_default=false()),
    named(),
    Index(None, "campaign_id", "at"),
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Id, nullable=False, unique=True),
    Column("annotator_id", Id, ForeignKey("annotators.id"), nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("created", Moment, nullable=False),
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("local", Boolean, nullable=False, server_default=false()),
    Column("password", Text, nullable=True),  # its Argon2 hash; without one nobody can log in by password
    one_of("role", Role),
    named(),
)

#: Secrets are kept as their SHA-256 only: who reads the database cannot use them.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=True),  # of an API token; NULL for a browser's session
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=True),
    Index(None, "user_id"),
)

invites = Table(
    "invites",
    metadata,
    Column("hash", Id, primary_key=True),
    Column("role", String, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("user_id", Id, ForeignKey("users.id"), nullable=True),  # whose password it sets; NULL: it makes an account
    one_of("role", Role),
)
