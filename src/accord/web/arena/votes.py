"""What is kept of a vote in the Arena: such votes are votes like all others."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from accord.feedback import Comparison, Message, Noun, Prompt, Response, Sides, text_of
from accord.quality.naming import names_itself
from accord.web.arena.conversations import Conversation, Round
from accord.web.schemas_arena import ArenaVote


def nouns(conversation: Conversation, round: Round, said: ArenaVote, annotator_id: str, at: datetime) -> Iterator[Noun]:
    """The conversation so far, both answers, and the vote on them."""
    prompt = Prompt(conversation.asked(round))
    left, right = (
        Response(
            prompt.id,
            (Message("assistant", answer.text),),
            source=contender.name,
            extra={"arena": True, "finished": answer.finished, "sampling": round.sampling},
        )
        for contender, answer in zip(round.two, round.answers, strict=True)
    )
    yield from (prompt, left, right)
    yield Comparison(
        said.id,
        annotator_id,
        prompt.id,
        left.id,
        right.id,
        choice=said.choice,
        at=at,
        sides=Sides.SHUFFLED,
        seconds=said.seconds,
        extra=_extra(conversation, round, (left, right)),
    )


def _extra(conversation: Conversation, round: Round, responses: Sequence[Response]) -> dict[str, Any]:
    """`stopped`: somebody cut the answers; `named`: words in which one tells its model."""
    extra: dict[str, Any] = {
        "arena": True,
        "conversation": conversation.id,
        "round": round.id,
        "sampling": round.sampling,
    }
    if round.stopped:
        extra["stopped"] = True
    sources = {response.source for response in responses}
    named = (names_itself(text_of(response.content), sources) for response in responses)
    if words := next(filter(None, named), None):
        extra["named"] = words
    return extra
