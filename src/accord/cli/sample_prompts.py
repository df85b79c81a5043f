"""What `accord sample` asks: the prompts of a file or of the project, each once."""

from collections.abc import Callable, Iterator
from pathlib import Path

from accord.cli.project import find_project, open_store
from accord.exchange import conversation, read
from accord.exchange.bad_input import BadInput
from accord.exchange.containers import sources
from accord.exchange.json_text import text_lines
from accord.exchange.judgements import split_of
from accord.exchange.reading import detect
from accord.exchange.rows import split_prompts
from accord.exchange.source import Record, unsound
from accord.feedback import AccordError, Message, Prompt


def wanted_prompts(
    file: Path | None, project: Path | None, split: str | None, chat: Callable[[], bool]
) -> list[Prompt]:
    """The prompts of `file`, else of the project; with `split` those that training would put there.

    chat  asked for a .txt file: is a line what a user says (True), or a text to go on with?

    Raises BadInput where the file is not as it should be, AccordError where nothing is left to ask.
    """
    if file is not None:
        found = list(_of_file(file, chat))
    else:
        with open_store(find_project(project)) as store:
            found = list(store.prompts())
    prompts = list({prompt.id: prompt for prompt in found}.values())
    if split:
        prompts = split_prompts(prompts)._asdict()[split]
    if not prompts:
        where = f" in the {split} split" if split else ""
        raise AccordError(f"{file or 'the project'}: no prompts{where} (give a file that holds prompts)")
    return prompts


def _of_file(file: Path, chat: Callable[[], bool]) -> Iterator[Prompt]:
    if file.suffix == ".txt":
        yield from _of_lines(file, chat())
    elif all(detect(source) == "messages" for source in sources(file)):
        yield from (_asked(record) for source in sources(file) for record in source.records())
    else:
        yield from (noun for noun in read(file) if isinstance(noun, Prompt))


def _of_lines(file: Path, chat: bool) -> Iterator[Prompt]:
    """A prompt a line; blank lines are passed over."""
    if not file.is_file():
        raise BadInput(file, 1, "file", "does not exist")
    with file.open("rb") as lines:
        for number, line in enumerate(text_lines(file, lines), 1):
            if text := line.strip():
                if why := unsound(text):
                    raise BadInput(file, number, "text", why)
                yield Prompt((Message("user", text),) if chat else text)


def _asked(record: Record) -> Prompt:
    """A conversation up to its last answer, or all of it where nobody has answered yet."""
    talk = conversation.messages(record, "messages", record.present("messages"))
    asked = talk[:-1] if talk[-1].role == "assistant" else talk
    if not asked:
        raise record.bad("messages", "has nothing that could be answered (begin with the user)")
    return Prompt(asked, split=split_of(record), extra=record.others("messages"))
