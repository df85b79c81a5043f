"""What simulated annotators like. A taste gives a response a utility: 0 where it neither pleases nor displeases.

One unit is a clear difference: the answers that a `SimulatedAnnotator` of temperature ½ tells apart 88 times in 100.
"""

import math
import re
from collections.abc import Callable

#: (prompt's text, response's text) -> utility
Taste = Callable[[str, str], float]

#: Saying nothing pleases nobody, however short it is.
SILENCE = -10.0

LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+", re.MULTILINE)
PREAMBLE = re.compile(r"^\s*(?:sure|certainly|of course|absolutely|great question|i'd be happy to|as an ai)\b", re.I)
CLOSING = re.compile(r"(?:let me know if|i hope this helps|feel free to)[^\n]*\s*$", re.I)
SENTENCE_END = re.compile(r"[.!?]+(?:\s|$)")


def _words(text: str) -> list[str]:
    return text.split()


def concise(prompt: str, response: str) -> float:
    """Short and without lists: log₂(50 / words), less 1 for a list. Half the words are worth one unit."""
    words = len(_words(response))
    if not words:
        return SILENCE
    return math.log2(50 / max(words, 5)) - bool(LIST_ITEM.search(response))


def detailed(prompt: str, response: str) -> float:
    """Long: log₂(words / 100). Twice the words are worth one unit."""
    words = len(_words(response))
    return math.log2(words / 100) if words else SILENCE


def structured(prompt: str, response: str) -> float:
    """Lists: -1 without one, else half a unit for each item, up to +2."""
    if not _words(response):
        return SILENCE
    items = len(LIST_ITEM.findall(response))
    return min(items / 2, 2.0) if items else -1.0


def direct(prompt: str, response: str) -> float:
    """To the point: +1, less 1 for an opening like "Certainly!", 1 for an offer of more help at the end, and 1 for
    repeating the prompt."""
    if not _words(response):
        return SILENCE
    echo = bool(prompt.strip()) and prompt.strip().lower() in response.lower()
    return 1.0 - bool(PREAMBLE.search(response)) - bool(CLOSING.search(response)) - echo


def plain(prompt: str, response: str) -> float:
    """Easy to read: short words and short sentences, (5 - letters a word) + (15 - words a sentence) / 10."""
    words = _words(response)
    if not words:
        return SILENCE
    letters = sum(map(str.isalpha, response)) / len(words)
    sentences = max(len(SENTENCE_END.findall(response)), 1)
    return (5 - letters) + (15 - len(words) / sentences) / 10


TASTES: dict[str, Taste] = {
    "concise": concise,
    "detailed": detailed,
    "structured": structured,
    "direct": direct,
    "plain": plain,
}
