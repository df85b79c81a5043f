"""Who says which of two answers is better, where nobody can be asked."""

from collections.abc import Callable

#: (prompt, answer a, answer b) → 1 where a is better, 0 where b is, ½ where neither is.
Judge = Callable[[str, str, str], float]


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


#: Shorter than anything that is said: nobody asked for silence.
SILENCE = -1e9


def brevity(prompt: str, answer: str) -> float:
    """Fewer words, but some."""
    return -words(answer) or SILENCE


#: Judges that look at the length alone. They show what training did; whether it is any good, they cannot say.
JUDGES: dict[str, Judge] = {
    "shorter": by_score(brevity),
    "longer": by_score(lambda _, answer: words(answer)),
}
