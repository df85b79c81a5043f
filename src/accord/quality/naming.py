"""Whether a response gives away who wrote it: people are to judge the words, not the maker.

A name needs evidence according to what else it may mean:

    own      coined for one of the project's own models: a mention is enough
    telling  written of nothing but language models: a mention is enough, spelled as the brand spells it
    plain    no ordinary word: whoever wrote speaks of themselves ("I am GPT-4") or of a maker ("made by Anthropic")
    word     also a person, an animal or a star: with a capital, where somebody says their own name ("I am Claude",
             "named Claude"), and not as the beginning of another ("I am Claude Monet's biggest fan")
    firm     makes much else: with a capital, after "by" or the like, where somebody speaks of themselves

To speak of oneself is "I am", "my name is", "as an AI" and so on, and then nothing but words of a list: "I am *a
helpful language model trained by* Meta". All that repeats does so a bounded number of times: time is linear.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import IntEnum, auto
from functools import lru_cache
from typing import NamedTuple


class Kind(IntEnum):
    """What else a name may mean: the more, the higher."""

    OWN = auto()
    TELLING = auto()
    PLAIN = auto()
    WORD = auto()
    FIRM = auto()


def _each(names: str) -> tuple[str, ...]:
    return tuple(names.split("|"))


NAMES = {
    Kind.TELLING: _each(
        "ChatGPT|ChatGLM|OpenAI|SmolLM|Hugging Face|HuggingFace|HuggingFaceTB|DeepSeek|Qwen|InternLM|WizardLM|StableLM|"
        "TinyLlama|OpenAssistant|EleutherAI|LMSYS|通义千问|文心一言"
    ),
    Kind.PLAIN: _each(
        "Anthropic|Mistral AI|xAI|GPT|InstructGPT|Mixtral|Tongyi|Ernie Bot|OLMo|Open Assistant|Nemotron|Hunyuan|Doubao|"
        "Baichuan|MiniMax|LaMDA|Airoboros|Replika|Command R"
    ),
    Kind.WORD: _each(
        "Claude|Gemini|Gemma|Bard|Llama|Mistral|Ministral|Phi|Grok|Copilot|GitHub Copilot|Microsoft Copilot|Falcon|"
        "Vicuna|Alpaca|Guanaco|Koala|Zephyr|Orca|Hermes|Dolly|Dolphin|Pythia|Granite|Nova|Kimi|Jamba|Bing|Siri|Alexa|"
        "Cortana|Google Assistant|PaLM|Bloom"
    ),
    Kind.FIRM: _each(
        "Google|Google DeepMind|Google AI|Google Research|DeepMind|Meta|Meta AI|Facebook|Microsoft|Microsoft Research|"
        "Apple|Amazon|Alibaba|Alibaba Cloud|Baidu|Tencent|ByteDance|IBM|Samsung|Salesforce|Nvidia|Databricks|"
        "Cohere|Perplexity|Perplexity AI|Moonshot|Moonshot AI|Zhipu AI|Inflection AI|Character AI|Stability AI|"
        "Nous Research|Allen Institute|Allen AI|AI2|LAION|BigScience|Technology Innovation Institute"
    ),
}
#: Parts of a source's name that say nothing of who wrote, neither alone nor with a number.
SAYS_NOTHING = _each(
    "ai|answer|annotator|assistant|base|baseline|best|bot|chat|checkpoint|chosen|ckpt|crowd|data|demo|dpo|epoch|expert|"
    "final|gold|grpo|human|instruct|iter|kto|label|latest|llm|lora|main|merged|model|models|new|old|online|output|part|"
    "person|policy|ppo|reference|rejected|response|reward|rlhf|rloo|round|run|runs|sample|seed|sft|source|start|step|"
    "student|teacher|test|text|train|trained|trainer|tuned|unknown|user|version|writer"
)

#: How people begin to speak of themselves. After those of the past they do not say their names.
PRESENT = _each(
    "i am|i'm|im|i run on|i go by|my name is|my name's|my creator is|my creators are|my developers are|call me|"
    "you are talking to|you're talking to|you are chatting with|you're chatting with"
)
PAST = _each("i was|i've been|i have been")
NOUN = _each("ai|llm|model|assistant|chatbot|bot|artificial intelligence")
ADJECTIVE = _each(
    "large|small|tiny|helpful|friendly|harmless|honest|powerful|advanced|virtual|digital|personal|conversational|"
    "generative|multimodal|multilingual|open|source|free|new|neural|computer|language|text|ai|artificial|intelligent|"
    "instruction|fine|tuned|powered|based"
)
MADE = _each("created|made|developed|trained|built|designed|programmed|engineered")
SUPPLIED = _each("produced|released|provided|powered|launched|maintained|finetuned|pretrained|based|running")
PEOPLE = _each("team|researchers|engineers|scientists|people|folks|developers|experts|company|startup|lab")
OTHER = _each(
    "a|an|the|your|this|that|which|who|was|is|been|and|program|system|agent|just|actually|simply|only|really|also|"
    "originally|specifically|currently|proudly|called|named|known as"
)
#: After one of these stands the name of a maker, or one's own.
BEFORE_NAMES = _each("by|at|from|of|on|upon|with|using|company|called|named|as")

GAP = r"[\s,:*_\"“‘`(\[-]{1,4}+"
VERSION = r"(?:[\s-]?v?\d{1,4}(?:\.\d{1,3}){0,2}[a-z]{0,2})?+"
#: What is of a name even so: any other capital begins another name ("Claude Monet", "Apple Music").
SURNAMES = "AI|Assistant|Chat|Code|Opus|Sonnet|Haiku|Pro|Flash|Ultra|Labs?|Research|Cloud|Inc"
GOES_ON = re.compile(rf"-[a-z]|\s(?!(?:{SURNAMES}|I)\b)[A-Z]")
#: What follows one's own name: the end of a thought, or more about oneself.
THEN = re.compile(
    rf"\s{{0,3}}(?:\Z|[^\w\s'-])|\s(?:{SURNAMES}|an?|and|from|by|here|your|based|created|made|developed|trained|built)\b"
)
#: "As Claude, I"
SPEAKS = re.compile(r",?\s(?:I|i|[Mm]y|an?)\b")


def names_itself(text: str, sources: Collection[str] = ()) -> str | None:
    """The words in which a response tells which model or company made it: "I am SmolLM", "created by OpenAI".

    None where it does not. `sources` are the names of those who wrote the project's responses, such as
    "HuggingFaceTB/SmolLM2-135M-Instruct": its last part and its family ("SmolLM2", "SmolLM") are looked for as well.
    Words in which somebody speaks of themselves are preferred to a mere mention.

    It is a hint for people to look at, not a verdict: an answer about language models mentions them, and who says "I am
    Claude" may be a person in a story.
    """
    search = _search(frozenset(sources))
    text = text.replace("İ", "I").replace("’", "'")  # İ alone grows when it is made small, and would shift the places
    small = text.lower()
    for pattern in (search.said, search.mentioned):
        for found in pattern.finditer(small):
            how = found.lastgroup or ""
            kind = search.kinds[_key(found[how])]
            start = RULES[how](text, found, kind)
            if start is not None:
                return " ".join(re.sub(r'[*_"“”`]', "", text[start : found.end()]).split())
    return None


def _of_oneself(text: str, found: re.Match[str], kind: Kind) -> int | None:
    """ "I am" or "as an AI", then words of the list, then a name: where it begins, if it tells. So do all rules."""
    start, end = found.span()
    if text[start - 1 : start].isalnum():
        return None
    if kind <= Kind.PLAIN:
        return start
    if not text[found.start("oneself")].isupper() or GOES_ON.match(text, end):
        return None
    last = found["last"]
    if text.startswith("'s", end):  # "Google's language model": the pattern has seen to that
        own_name = True
    elif last is None:
        own_name = kind is Kind.WORD and found["present"] is not None and THEN.match(text, end) is not None
    else:
        own_name = re.split(r"[\s-]", last)[-1] in BEFORE_NAMES
    return start if own_name else None


def _in_a_role(text: str, found: re.Match[str], kind: Kind) -> int | None:
    """ "As ChatGPT", "As Claude, I" """
    start, end = found.span()
    if text[start - 1 : start].isalnum() or (kind is Kind.WORD and not text[found.start("role")].isupper()):
        return None
    mentioned = kind <= Kind.TELLING and text[max(0, start - 5) : start].lower() != "such "
    return start if mentioned or SPEAKS.match(text, end) else None


def _of_a_maker(text: str, found: re.Match[str], kind: Kind) -> int | None:
    """ "made by Anthropic" """
    start = found.start()
    before = text[max(0, start - 20) : start]
    made = before.split()[-1:]
    return start - len(before) + before.rindex(made[0]) if made and made[0].lower() in MADE else None


def _mention(text: str, found: re.Match[str], kind: Kind) -> int | None:
    """ "Hugging Face", not in an address or a program."""
    start, end = found.span("mention")
    spelled = kind is Kind.OWN or text[start:end] in NAMES[Kind.TELLING]
    inside = start > 0 and re.match(r"[A-Za-z0-9_@/.-]", text[start - 1])
    return start if spelled and not inside else None


RULES: dict[str, Callable[[str, re.Match[str], Kind], int | None]] = {
    "oneself": _of_oneself,
    "role": _in_a_role,
    "maker": _of_a_maker,
    "mention": _mention,
}


class _Search(NamedTuple):
    """kinds: of names by their keys. The patterns find, in small letters, places for the rules to look at."""

    kinds: Mapping[str, Kind]
    said: re.Pattern[str]
    mentioned: re.Pattern[str]


@lru_cache(maxsize=64)
def _search(sources: frozenset[str]) -> _Search:
    known = [(name.lower(), kind) for kind, names in NAMES.items() for name in names]
    own = [found for source in sources for found in _names_of(source)]
    kinds: dict[str, Kind] = {}
    for name, kind in (*known, *own):
        kinds[_key(name)] = min(kind, kinds.get(_key(name), kind))
    names = sorted({name for name, _ in (*known, *own)}, key=lambda name: (-len(name), name))

    def of(most: Kind) -> str:
        return _any_of(_spelled(name) for name in names if kinds[_key(name)] <= most)

    noun = rf"(?:{_any_of(NOUN)}|version|variant)(?:\s(?:by|from|of))?+"
    people = rf"{_any_of(PEOPLE)}(?:\s(?:at|of|from))?+"
    made = rf"{_any_of(MADE + SUPPLIED)}(?:\s{{1,2}}(?:by|at|on top of|on|upon|with|from|using))?+"
    between = rf"(?:{GAP}(?P<last>{made}|{people}|{noun}|{_any_of(ADJECTIVE + OTHER)})(?!\w)){{0,16}}+"
    as_an_ai = rf"(?<=a)s an? (?:{_any_of(ADJECTIVE)}[\s-]){{0,5}}{_any_of(NOUN)}(?!\w)"
    theirs = rf"'s\s(?:\w{{1,12}}[\s-]){{0,3}}{_any_of(NOUN)}\b"
    said = (
        rf"(?:(?P<present>{_after_first(PRESENT)})|{_after_first(PAST)}|{as_an_ai})"
        rf"{between}{GAP}(?P<oneself>{of(Kind.FIRM)}){VERSION}(?:(?!\w|'s\b)|(?={theirs}))",
        rf"(?<=a)s (?P<role>{of(Kind.WORD)}){VERSION}(?!\w)",
        rf"(?<=b)y (?:the |an? )?(?:{people}\s)?(?P<maker>{of(Kind.PLAIN)}){VERSION}(?!\w)",
    )
    mentioned = rf"(?P<mention>{of(Kind.TELLING)}){VERSION}(?![a-z0-9_(]|'s\b|[./]\w)"
    # With a set of letters in front, `re` passes over all others without trying the alternatives.
    pattern = rf"[{''.join(sorted(_by_first((*PRESENT, *PAST, 'as', 'by'))))}](?:{'|'.join(said)})"
    return _Search(kinds, re.compile(pattern.replace(" ", r"\s{1,2}")), re.compile(mentioned))


def _names_of(source: str) -> Iterator[tuple[str, Kind]]:
    """The last part of a source's name, its family and what is coined in it, in small letters."""
    last = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    parts = [part.strip(".") for part in re.split(r"(?:[^\w.]|_)+", last) if part.strip(".")]
    families = {part: re.sub(r"\d[\d.]*[A-Za-z]?$", "", part) for part in parts}
    named = [part for part in parts if len(families[part]) > 2 and families[part].isalpha()]
    named = [part for part in named if families[part].lower() not in SAYS_NOTHING]
    if not named:
        return
    yield families[named[0]].lower(), Kind.OWN if _is_coined(families[named[0]]) else Kind.WORD
    for part in named:
        if _is_coined(part):
            yield part.lower(), Kind.OWN
    if len(parts) > 1:
        sized = any(re.fullmatch(r"\d+(\.\d+)?[bBmM]", part) for part in parts)
        yield " ".join(parts).lower(), Kind.OWN if sized else Kind.PLAIN


def _is_coined(name: str) -> bool:
    """Whether it looks like nothing but a name: SmolLM, llama3."""
    return re.search(r"[a-z][A-Z]|[A-Za-z]{3}\d", name) is not None


@lru_cache(maxsize=1024)
def _key(name: str) -> str:
    """What all ways of writing a name have in common."""
    return re.sub(r"[\s_:-]", "", name.lower())


def _any_of(alternatives: Iterable[str]) -> str:
    """One of the alternatives, which all begin with a plain letter; sought by it, so that many take little longer."""
    return "(?:" + "|".join(f"{first}(?:{'|'.join(rests)})" for first, rests in _by_first(alternatives).items()) + ")"


def _after_first(phrases: Iterable[str]) -> str:
    """What follows the first letter of the phrases, which has just been read."""
    return "(?:" + "|".join(f"(?<={first})(?:{'|'.join(rests)})" for first, rests in _by_first(phrases).items()) + ")"


def _by_first(phrases: Iterable[str]) -> dict[str, list[str]]:
    rests: dict[str, list[str]] = {}
    for phrase in phrases:
        rests.setdefault(phrase[0], []).append(phrase[1:])
    return rests


def _spelled(name: str) -> str:
    """A name with a space, a dash or nothing between its parts."""
    return r"[\s_:-]{0,2}".join(re.escape(part) for part in name.split(" "))
