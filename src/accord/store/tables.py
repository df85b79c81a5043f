"""The tables. Votes are only ever added: a correction is a new row that names the one it supersedes."""

from collections.abc import Iterable

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    column,
    false,
)

from accord.feedback import AnnotatorKind, Choice, Sides

#: The newest migration. A database at this revision is opened without loading Alembic.
REVISION = "0003"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

#: Compared byte by byte in every database, so that the order of ids does not depend on a server's locale.
Id = String().with_variant(String(collation="C"), "postgresql")


def one_of(name: str, values: Iterable[str]) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{name} IN ({quoted})", name=name)


def named() -> CheckConstraint:
    return CheckConstraint("id <> ''", name="id")


annotators = Table(
    "annotators",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String, nullable=False),
    Column("extra", JSON, nullable=False),
    one_of("kind", AnnotatorKind),
    named(),
)

prompts = Table(
    "prompts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("content", JSON, nullable=False),
    Column("split", String, nullable=False),
    Column("extra", JSON, nullable=False),
    named(),
)

responses = Table(
    "responses",
    metadata,
    Column("id", Id, primary_key=True),
    Column("prompt_id", Id, ForeignKey("prompts.id"), nullable=False),
    Column("content", JSON, nullable=False),
    Column("source", Text, nullable=False),
    Column("demonstration", Boolean, nullable=False),
    Column("extra", JSON, nullable=False),
    named(),
    UniqueConstraint("prompt_id", "id"),  # what votes point at: a vote on another prompt's response cannot be written
)


def _votes(name: str, judged: tuple[str, ...], *said: Column | CheckConstraint) -> Table:
    """A table of votes on the responses in the columns `judged`, with what was `said` of them."""
    return Table(
        name,
        metadata,
        Column("id", Id, primary_key=True),
        Column("annotator_id", Id, ForeignKey("annotators.id"), nullable=False),
        Column("prompt_id", Id, nullable=False),
        *(Column(response_id, Id, nullable=False) for response_id in judged),
        *said,
        Column("at", DateTime(timezone=True), nullable=False),
        Column("comment", Text, nullable=False),
        Column("seconds", Float(53), nullable=True),
        Column("guideline", Text, nullable=False),
        Column("supersedes", Id, ForeignKey(f"{name}.id"), nullable=True),
        Column("extra", JSON, nullable=False),
        Column("withdrawn", Boolean, nullable=False, server_default=false()),
        *(
            ForeignKeyConstraint(["prompt_id", response_id], ["responses.prompt_id", "responses.id"])
            for response_id in judged
        ),
        named(),
        CheckConstraint("supersedes <> id", name="supersedes"),
        Index(
            None,
            "supersedes",  # a vote is corrected once; the correction can be corrected in its turn
            unique=True,
            sqlite_where=column("supersedes").is_not(None),
            postgresql_where=column("supersedes").is_not(None),
        ),
        Index(None, "at", "id"),
    )


comparisons = _votes(
    "comparisons",
    ("left_id", "right_id"),
    Column("choice", String, nullable=False),
    Column("sides", String, nullable=False),
    Column("strength", Integer, nullable=True),
    one_of("choice", Choice),
    one_of("sides", Sides),
    CheckConstraint("strength BETWEEN 1 AND 3", name="strength"),
)

ratings = _votes(
    "ratings",
    ("response_id",),
    Column("desirable", Boolean, nullable=False),
)
