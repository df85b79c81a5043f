"""Who says which of two answers is better, where nobody can be asked."""

import re
from collections.abc import Callable

#: (prompt, answer a, answer b) → 1 where a is better, 0 where b is, ½ where neither is.
Judge = Callable[[str, str, str], float]

LIST_LINE = re.compile(r"^\s*(?:[-*+•]|\d+[.)]|#{1,6})\s", re.MULTILINE)


def by_score(score: Callable[[str, str], float], tie: float = 0.0) -> Judge:
    """The judge for whom the answer with the higher `score(prompt, answer)` is better.

    Scores that differ by `tie` or less are a tie. A simulated annotator's stated taste is such a score.
    """

    def judge(prompt: str, a: str, b: str) -> float:
        difference = score(prompt, a) - score(prompt, b)
        return 0.5 if abs(difference) <= tie else float(difference > 0)

    return judge


def in_both_orders(judge: Judge, prompt: str, a: str, b: str) -> float:
    """How `a` fares when the judge sees the two in either order: what it gives to a place cancels out."""
    return (judge(prompt, a, b) + 1 - judge(prompt, b, a)) / 2


def words(text: str) -> int:
    """How many words: runs of characters between spaces."""
    return len(text.split())


#: Judges that look at the form alone. They show what training did; whether it is any good, they cannot say.
JUDGES: dict[str, Judge] = {
    "shorter": by_score(lambda _, answer: -words(answer)),
    "longer": by_score(lambda _, answer: words(answer)),
    "plain": by_score(lambda _, answer: -len(LIST_LINE.findall(answer))),
}
