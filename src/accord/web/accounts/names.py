"""Short words that people give: their names, what a link or a token is for."""

import re
import unicodedata

from accord.feedback import AccordError

LONGEST_NAME, LONGEST_NOTE = 40, 200


def name_of(text: str) -> str:
    """A person's name. Raises AccordError for what is none."""
    return one_line(text, "a name", LONGEST_NAME)


def one_line(text: str, what: str, longest: int, fewest: int = 1) -> str:
    """`text` on one line, without spaces around it. Raises AccordError where it is too short or too long, or holds
    characters that nobody can see: controls, and those that turn the direction of writing."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in unicodedata.normalize("NFC", text))
    line = re.sub(" +", " ", spaced).strip()
    if not fewest <= len(line) <= longest:
        raise AccordError(f"{what} has {f'{fewest} to' if fewest else 'at most'} {longest} characters")
    if not line.isprintable():
        raise AccordError(f"{what} cannot hold characters that are not seen (controls, changes of direction)")
    return line
