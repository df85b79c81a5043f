"""What a format is."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from accord.exchange.source import Source
from accord.feedback import Noun


class Format(NamedTuple):
    """One way in which people write down prompts, responses and what they think of them.

    about   its columns, for people to choose by
    sniff   whether a file whose first row has these columns is of this format
    read    the nouns of all files of this format that are imported together, each before its use
    """

    about: str
    sniff: Callable[[Mapping[str, Any]], bool]
    read: Callable[[list[Source]], Iterator[Noun]]
