"""The Arena: the page on which a person talks with two hidden models at once, and the API that it works with."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from accord.feedback import Choice, Comparison, Message, Role, User
from accord.store.asking import Conflict
from accord.web import schemas_arena as schemas
from accord.web.arena.answers import Streamed, told
from accord.web.arena.contenders import meeting
from accord.web.arena.conversations import Conversation, Round
from accord.web.arena.votes import nouns
from accord.web.identity import AsAnnotator, OfSite
from accord.web.pages import page
from accord.web.site import Site

router = APIRouter()

#: Of sampling, as elsewhere in Accord; nobody is asked for it.
TOP_P = 0.95

ENDED = "this conversation has ended (begin another; what you voted is kept)"
CLOSED = "this server has no Arena"
ALIKE = "both say the same, so that neither can be better (say tie, or both_bad)"
TAKEN = "the id is taken by another vote (make a new one, such as a random UUID)"


@router.get("/arena", include_in_schema=False)
def arena_page(request: Request, user: AsAnnotator, site: OfSite) -> Response:
    """The page; where there is nobody to talk with, what to do about it."""
    ready = site.worker is not None and len(meeting(site)) > 1
    return page(request, "arena.html" if ready else "arena_closed.html", user, tokens=schemas.MOST_TOKENS)


@router.post("/api/arena/conversations", tags=["arena"], status_code=201)
def begin(user: AsAnnotator, site: OfSite) -> schemas.ArenaConversation:
    """Begins a conversation with two models, drawn at random."""
    if site.worker is None:
        raise Conflict(CLOSED)
    contenders = meeting(site)
    if len(contenders) < 2:
        raise Conflict("there are no two models to talk with yet")
    return _shown(site.conversations.begin(user.id, contenders))


@router.get("/api/arena/conversations/{conversation_id}", tags=["arena"])
def conversation(conversation_id: str, user: AsAnnotator, site: OfSite) -> schemas.ArenaConversation:
    """The caller's conversation as it stands."""
    return _shown(_of(conversation_id, user, site))


@router.post(
    "/api/arena/conversations/{conversation_id}/answers",
    tags=["arena"],
    status_code=200,
    response_class=Streamed,
    responses={200: {"model": schemas.Happening, "description": "A line of JSON for each thing that happens."}},
)
def ask(conversation_id: str, asked: schemas.Ask, user: AsAnnotator, site: OfSite) -> Streamed:
    """Asks both models. Both answers come at the same time, piece by piece; who stops reading stops them."""
    if site.worker is None:
        raise Conflict(CLOSED)
    found = _of(conversation_id, user, site)
    two, seed = site.conversations.draw(found)
    sampling = {
        "temperature": asked.temperature,
        "top_p": TOP_P,
        "max_new_tokens": asked.max_new_tokens,
        "seed": seed,
    }
    round = found.ask(asked.message, two, sampling)
    lines = told(found, round, site.worker, why=user.role.may(Role.CURATOR))
    return Streamed(lines, lambda: found.settle(round))


@router.post("/api/arena/conversations/{conversation_id}/stop", tags=["arena"])
async def stop(conversation_id: str, user: AsAnnotator, site: OfSite) -> schemas.ArenaConversation:
    """Stops both models, if they are answering."""
    found = _of(conversation_id, user, site)
    if (round := found.round) and round.answering:
        if round.task is None:
            found.settle(round)
        else:
            round.task.cancel()
            await asyncio.wait([round.task])
    return _shown(found)


@router.post("/api/arena/conversations/{conversation_id}/skip", tags=["arena"])
def skip(conversation_id: str, left: schemas.ArenaSkip, user: AsAnnotator, site: OfSite) -> schemas.ArenaConversation:
    """Leaves a round without a vote: the conversation is as if nothing had been asked, and nothing is kept."""
    found = _of(conversation_id, user, site)
    with found.lock:
        if found.round is not None:
            found.answered(left.round)
            found.round = None
    return _shown(found)


@router.post("/api/arena/conversations/{conversation_id}/votes", tags=["arena"])
def vote(conversation_id: str, said: schemas.ArenaVote, user: AsAnnotator, site: OfSite) -> schemas.ArenaSaved:
    """Keeps a vote. When this answers, the vote is on disk, and with it the conversation so far and both answers."""
    found = site.conversations.get(user.id, conversation_id)
    with found.lock if found else nullcontext():
        known = site.arena.get(said.id)
        if known is None:
            if found is None:
                raise HTTPException(404, ENDED)
            round = found.answered(said.round)
            if round.alike and said.choice in (Choice.LEFT, Choice.RIGHT):
                raise HTTPException(422, ALIKE)
            site.store.add(nouns(found, round, said, user.annotator_id, datetime.now(UTC)))
            known = site.arena.get(said.id)
            if _is(known, said, user):
                found.go_on(round, said.choice)
    if known is None or not _is(known, said, user):
        raise Conflict(f"vote {said.id}: {TAKEN}")
    return schemas.ArenaSaved(id=said.id, goes_on="right" if known.choice is Choice.RIGHT else "left")


def _is(known: Comparison | None, said: schemas.ArenaVote, user: User) -> bool:
    """Whether the vote that is kept under the id is this very one."""
    return known is not None and (known.annotator_id, known.extra.get("round")) == (user.annotator_id, said.round)


def _of(conversation_id: str, user: User, site: Site) -> Conversation:
    found = site.conversations.get(user.id, conversation_id)
    if found is None:
        raise HTTPException(404, ENDED)
    return found


def _shown(found: Conversation) -> schemas.ArenaConversation:
    """What the person may know of a conversation: no names."""
    return schemas.ArenaConversation(
        id=found.id, messages=[_message(message) for message in found.messages], round=_round(found.round)
    )


def _message(message: Message) -> schemas.ArenaMessage:
    return schemas.ArenaMessage(role=message.role, text=message.content)


def _round(round: Round | None) -> schemas.ArenaRound | None:
    if round is None:
        return None
    left, right = (schemas.ArenaAnswer(text=answer.text, finished=answer.finished) for answer in round.answers)
    return schemas.ArenaRound(
        id=round.id,
        message=round.message,
        left=left,
        right=right,
        answering=round.answering,
        stopped=round.stopped,
    )
