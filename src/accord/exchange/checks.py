"""What can be wrong with feedback, one function a question. Each yields what it finds, or nothing."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

from accord.exchange.findings import Finding, Severity, counted, percent
from accord.exchange.material import Material, preferred, some, words
from accord.feedback import AnnotatorKind, Choice, Sides, text_of

ERROR, WARNING, NOTE = Severity
#: Length says something about the votes from this many pairs on, and if the share is this far from one half.
LENGTH_PAIRS, LENGTH_SHARE = 30, 0.15
#: KTO wants desirable and undesirable examples, times their weights, to be near 1 : 1; beyond this it is said.
THUMB_RATIO = 3.0
#: Standard deviations from an even choice of sides, beyond which an annotator is named.
SIDE_DEVIATIONS = 4.0
FEW_PROMPTS = 30

MODEL_NAMES = re.compile(
    r"\b(?:I am|I'm|I’m|my name is|as) (?:an? )?(?:\w+ )?"
    r"(ChatGPT|GPT-?[345]\w*|Claude|Gemini|Bard|LLaMA|Llama|Mistral|Qwen|DeepSeek|Vicuna|Alpaca|Falcon|Koala|Dolly|Bing)\b"
    r"|\b(?:trained|developed|created|made) by (OpenAI|Anthropic|Google|Meta|Mistral AI|Alibaba|DeepSeek|LMSYS)\b"
)

Check = Callable[[Material], Iterator[Finding]]


def nothing_to_learn(m: Material) -> Iterator[Finding]:
    demonstrations = any(response.demonstration for response in m.responses.values())
    if not (m.comparisons or m.ratings or demonstrations):
        what = "There are no comparisons, no thumbs and no demonstrations: nothing can be trained on this."
        yield Finding(ERROR, "nothing_to_learn", what, "Import votes, or collect them.")
    elif m.comparisons and not (m.decided or m.ratings or demonstrations):
        what = f"None of the {counted(len(m.pairs), 'pair')} has a winner: all are ties or both bad."
        yield Finding(ERROR, "no_winner", what, "Collect votes that prefer one of two responses.", len(m.pairs))


def one_label(m: Material) -> Iterator[Finding]:
    up = sum(rating.desirable for rating in m.ratings)
    down = len(m.ratings) - up
    if not m.ratings:
        return
    if not (up and down):
        what = f"All {counted(len(m.ratings), 'thumb')} point {'up' if up else 'down'}."
        remedy = "KTO learns from the difference: add responses that people did not want." if up else "Add thumbs up."
        yield Finding(ERROR, "one_label", what, remedy, len(m.ratings))
    elif max(up, down) > THUMB_RATIO * min(up, down):
        knob = "desirable_weight" if up < down else "undesirable_weight"
        what = f"Thumbs are out of balance: {up:,} up, {down:,} down."
        remedy = f"Train KTO with --{knob} {max(up, down) / min(up, down):.2g}, so that both weigh the same."
        yield Finding(WARNING, "unbalanced", what, remedy, max(up, down))


def split_overlap(m: Material) -> Iterator[Finding]:
    marks: dict[str, set[str]] = defaultdict(set)
    ids: dict[str, str] = {}
    for prompt in m.prompts.values():
        text = words(prompt)
        marks[text] |= m.marks[prompt.id]
        ids.setdefault(text, prompt.id)
    both = [text for text, splits in marks.items() if {"train", "test"} <= splits]
    if both:
        tested = sum("test" in splits for splits in marks.values())
        what = f"{counted(len(both), 'prompt')} of the test ({percent(len(both), tested)}) can be trained on as well."
        remedy = "Remove them from one side, or leave the split empty: Accord then keeps whole prompts apart."
        yield Finding(ERROR, "split_overlap", what, remedy, len(both), some(ids[text] for text in both))


def chosen_is_rejected(m: Material) -> Iterator[Finding]:
    same, alike = [], []
    for prompt_id, low, high in m.pairs:
        one, other = m.responses[low], m.responses[high]
        if text_of(one.content).strip() == text_of(other.content).strip():
            same.append(prompt_id)
        elif words(one) == words(other):
            alike.append(prompt_id)
    if same:
        everything = len(same) == len(m.pairs)
        what = f"Both responses are the same text in {counted(len(same), 'pair')} ({percent(len(same), len(m.pairs))})."
        remedy = "They teach nothing. Remove them." if not everything else "Check which columns were read as which."
        yield Finding(ERROR if everything else WARNING, "chosen_is_rejected", what, remedy, len(same), some(same))
    if alike:
        what = f"The responses of {counted(len(alike), 'pair')} differ in case, spaces or punctuation alone."
        yield Finding(
            WARNING, "near_identical", what, "Remove them, unless that is the point.", len(alike), some(alike)
        )


def empty(m: Material) -> Iterator[Finding]:
    silent = [e.completion.id for e in m.examples if not text_of(e.completion.content).strip()]
    if silent:
        what = f"{counted(len(silent), 'response is', 'responses are')} empty."
        remedy = "Remove them, or the model may learn to say nothing."
        yield Finding(WARNING, "empty_completion", what, remedy, len(silent), some(silent))
    unasked = [prompt.id for prompt in m.prompts.values() if not text_of(prompt.content).strip()]
    if unasked:
        what = f"{counted(len(unasked), 'prompt is', 'prompts are')} empty."
        yield Finding(WARNING, "empty_prompt", what, "Remove them, or fill them in.", len(unasked), some(unasked))


def repeated_votes(m: Material) -> Iterator[Finding]:
    said: Counter[tuple] = Counter()
    for vote in m.comparisons:
        said[vote.annotator_id, vote.prompt_id, *sorted((vote.left_id, vote.right_id)), preferred(vote)] += 1
    for rating in m.ratings:
        said[rating.annotator_id, rating.prompt_id, rating.response_id, rating.desirable] += 1
    again = {key: n - 1 for key, n in said.items() if n > 1}
    if again:
        n = sum(again.values())
        repeats = counted(n, "vote is a repeat", "votes are repeats")
        what = f"{repeats} of another: the same annotator, the same responses, the same answer."
        remedy = "Remove rows that were copied by mistake: each one counts."
        yield Finding(WARNING, "repeated_votes", what, remedy, n, some(key[1] for key in again))


def repeated_prompts(m: Material) -> Iterator[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    for prompt in m.prompts.values():
        groups[words(prompt)].append(prompt.id)
    alike = [ids for ids in groups.values() if len(ids) > 1]
    if alike:
        n = sum(map(len, alike))
        what = f"{counted(n, 'prompt')} differ from another in case, spaces or punctuation alone."
        remedy = "Write them alike, so that they count as one prompt and cannot be split between train and test."
        yield Finding(NOTE, "repeated_prompts", what, remedy, n, some(ids[0] for ids in alike))


def conflicts(m: Material) -> Iterator[Finding]:
    split = [key for key, votes in m.pairs.items() if len({preferred(v) for v in votes} - {None}) == 2]
    stated = [key for key in split if all(m.kind(v.annotator_id) is AnnotatorKind.DATASET for v in m.pairs[key])]
    if stated:
        what = f"A file prefers each of the two responses over the other in {counted(len(stated), 'pair')}."
        remedy = "Remove the wrong row of each: together they teach that both are equally good."
        yield Finding(WARNING, "contradictions", what, remedy, len(stated), some(key[0] for key in stated))
    asked = [votes for votes in m.pairs.values() if len({v.annotator_id for v in votes}) > 1]
    if asked and len(split) > len(stated):
        n = len(split) - len(stated)
        what = f"Votes conflict in {counted(n, 'pair')}, {percent(n, len(asked))} of those with several annotators."
        remedy = "Nothing to mend: soft labels carry the doubt into the loss."
        yield Finding(NOTE, "conflicting_votes", what, remedy, n)


def ties(m: Material) -> Iterator[Finding]:
    choices = Counter(vote.choice for vote in m.comparisons)
    if choices[Choice.TIE] > len(m.comparisons) / 4:
        what = f"{percent(choices[Choice.TIE], len(m.comparisons))} of the votes are ties."
        remedy = "A tie teaches that both are equally good. Compare responses that differ more to learn more."
        yield Finding(NOTE, "ties", what, remedy, choices[Choice.TIE])
    if choices[Choice.BOTH_BAD] > len(m.comparisons) / 10:
        what = f"{percent(choices[Choice.BOTH_BAD], len(m.comparisons))} of the votes call both responses bad."
        remedy = "DPO leaves pairs out that nobody liked; KTO learns from them, and demonstrations would help."
        yield Finding(NOTE, "both_bad", what, remedy, choices[Choice.BOTH_BAD])


def length_bias(m: Material) -> Iterator[Finding]:
    longer, n = chosen_longer(m)
    if n >= LENGTH_PAIRS and abs(longer / n - 0.5) > LENGTH_SHARE:
        which, learns = ("longer", "long") if longer > n / 2 else ("shorter", "short")
        share = percent(max(longer, n - longer), n)
        what = f"The {which} response was preferred in {share} of {counted(n, 'pair')} of unequal length."
        remedy = f"The model will learn to be {learns}, whether people meant that or not: watch it in the report."
        yield Finding(WARNING, "length_bias", what, remedy, n)


def chosen_longer(m: Material) -> tuple[int, int]:
    """In how many decided pairs the preferred response has more characters, and how many have unequal lengths."""
    lengths = [(len(text_of(d.chosen.content)), len(text_of(d.rejected.content))) for d in m.decided]
    return sum(a > b for a, b in lengths), sum(a != b for a, b in lengths)


def sides(m: Material) -> Iterator[Finding]:
    people = [v for v in m.comparisons if m.kind(v.annotator_id) is not AnnotatorKind.DATASET]
    fixed = sum(v.sides is not Sides.SHUFFLED for v in people)
    if fixed:
        share = "All" if fixed == len(people) else f"{fixed:,} of {len(people):,}"
        what = f"{share} comparisons were shown on sides that are not known to have been shuffled."
        remedy = "A habit of choosing left cannot be told from a preference there. Shuffle sides when collecting."
        yield Finding(NOTE, "sides_not_shuffled", what, remedy, fixed)
    left: Counter[str] = Counter()
    decisive: Counter[str] = Counter()
    for vote in people:
        if vote.sides is Sides.SHUFFLED and preferred(vote):
            decisive[vote.annotator_id] += 1
            left[vote.annotator_id] += vote.choice is Choice.LEFT
    for annotator, n in decisive.items():
        if abs(left[annotator] - n / 2) > SIDE_DEVIATIONS * math.sqrt(n) / 2:
            side, most = max(("left", left[annotator]), ("right", n - left[annotator]), key=lambda x: x[1])
            what = f"{annotator} chose the {side} response in {percent(most, n)} of {counted(n, 'comparison')}."
            remedy = "Dawid-Skene labels allow for it; check whether they read the responses."
            yield Finding(WARNING, "side_bias", what, remedy, n, (annotator,))


def overlap(m: Material) -> Iterator[Finding]:
    voters = [len({v.annotator_id for v in votes}) for votes in m.pairs.values() if _people_voted(m, votes)]
    alone = sum(n == 1 for n in voters)
    if len({v.annotator_id for v in m.comparisons}) > 1 and alone > 0.9 * len(voters):
        what = f"{percent(alone, len(voters))} of the pairs were judged by one person each."
        remedy = "How reliable each of them is cannot be learnt so: show some pairs to several people."
        yield Finding(NOTE, "no_overlap", what, remedy, alone)


def _people_voted(m: Material, votes: Iterable) -> bool:
    return any(m.kind(v.annotator_id) is not AnnotatorKind.DATASET for v in votes)


def splits(m: Material) -> Iterator[Finding]:
    if m.prompts and not any("test" in marks for marks in m.marks.values()):
        what = "No prompts are marked for testing."
        remedy = "Train with --test_fraction 0.1 to hold out a tenth of the prompts."
        if all(marks == {"train"} for marks in m.marks.values()):
            remedy = "All are marked train: import a test file too, or nothing can be evaluated."
        yield Finding(NOTE, "no_test_split", what, remedy)
    if 0 < len(m.prompts) < FEW_PROMPTS:
        what = f"There {'is' if len(m.prompts) == 1 else 'are'} only {counted(len(m.prompts), 'prompt')}."
        remedy = "Win rates on so few held-out prompts will be vague: add prompts before adding responses."
        yield Finding(NOTE, "few_prompts", what, remedy, len(m.prompts))


def model_names(m: Material) -> Iterator[Finding]:
    naming = [e.completion.id for e in m.examples if MODEL_NAMES.search(text_of(e.completion.content))]
    if naming:
        what = f"{counted(len(naming), 'response names', 'responses name')} the model that wrote it."
        remedy = "Annotators may vote for the name, and your model may learn to call itself so: edit or remove them."
        yield Finding(NOTE, "model_names", what, remedy, len(naming), some(naming))


#: All that is checked without a tokenizer, in the order in which it is told.
CHECKS: tuple[Check, ...] = (
    nothing_to_learn,
    one_label,
    split_overlap,
    chosen_is_rejected,
    empty,
    repeated_votes,
    repeated_prompts,
    conflicts,
    ties,
    length_bias,
    sides,
    overlap,
    splits,
    model_names,
)
