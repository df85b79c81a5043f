"""Sampling from a model on a server: vLLM, or any other that speaks OpenAI's form. For answers, not for training."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from accord.feedback import Message
from accord.rollout.choice import Decoding, sample_key
from accord.rollout.openai_client import NoAnswer, OpenAIClient
from accord.rollout.sample import Question, Sampled

TEXT, CHAT = "completions", "chat/completions"
#: What is lost where a server refuses a field of the question, or does not give what it asks for.
LOST = {
    "return_token_ids": "it tells no token ids, only texts",
    "logprobs": "it tells no log-probs",
    "seed": "it takes no seed: asked again, it answers otherwise",
    "n": "it gives one sample a question, and reads the prompt anew for each",
    "temperature": "no prompt got two different answers: it seems to take the likeliest token, and not to sample",
    TEXT: f"it has no /{TEXT}: plain texts were asked as a user's messages",
}
_REFUSED = frozenset({400, 403, 422})
_ABSENT = frozenset({404, 405, 501})
#: How servers say that the model ended by itself.
_ENDS = frozenset({"stop", "eos_token", "stop_sequence"})


class Choice(NamedTuple):
    """One sample, as far as the server tells it."""

    tokens: list[int]
    text: str
    logps: list[float]
    finished: bool


@dataclass
class ServerSampler:
    """`Sampler.sample`, answered by a server. What it gives, and what is lost against sampling in this process:

    - weights: the server's, in its precision; not those of a model that is being trained here
    - tokens: the server's token ids where it tells them (vLLM does), else empty. A text that is encoded again may give
      other tokens than those that were drawn, so that is not done here
    - logps: empty, or as the server computes them: vLLM before temperature and filters (`--logprobs-mode`), others
      after them, many in bfloat16. No policy gradient can be taken of them, and no trainer here does
    - seed: sent, but two servers, or one with other neighbours in its batch, draw differently; some take none
    - prompts: messages go to /chat/completions and are rendered with the server's template; texts and token ids go to
      /completions. Where there is none, a text becomes a user's message

    `losses` says what was lost with this server, as it was found out by asking.

    url, key, timeout, retries, pause   as for `OpenAIClient`
    model     the name that the server knows it by
    workers   questions in flight
    settings  sent with every question, and instead of what would be; None leaves a field out
    """

    url: str
    model: str
    key: str = "OPENAI_API_KEY"
    timeout: float = 600.0
    retries: int = 4
    pause: float = 1.0
    workers: int = 8
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._client = OpenAIClient(self.url, self.key, self.timeout, self.retries, self.pause)
        self._refused: set[str] = set()  # fields that are not sent any more, and TEXT where only CHAT is there
        self._missing: set[str] = set()
        self._varied: set[bool] = set()  # whether a prompt's samples differ, of all prompts so far

    @property
    def losses(self) -> list[str]:
        """What was lost with this server, in words."""
        lost = self._refused | self._missing | ({"temperature"} if self._varied == {False} else set())
        return [words for name, words in LOST.items() if name in lost]

    def sample(
        self,
        prompts: Sequence[Question],
        *,
        n: int = 1,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        stop: Sequence[str] = (),
        seed: int = 0,
        names: Sequence[int] | None = None,
        progress: Callable[[int], Any] | None = None,
    ) -> Iterator[Sampled]:
        """n completions of each prompt, a prompt's together, as the server answers: in no order of prompts.

        stop   texts at which a completion ends; they are no part of it
        seed   each prompt's is made of it and of its name in `names` (else its index)

        top_k and min_p are not OpenAI's: they are sent only if they are set. All else as for `Sampler.sample`. Raises
        NoAnswer where the server is gone or refuses, after the retries.
        """
        Decoding(temperature, top_k, top_p, min_p)  # refuses what is out of range, as in this process
        if n < 1 or max_new_tokens < 1:
            raise ValueError("n and max_new_tokens must be 1 or more")
        optional = {"top_k": top_k, "min_p": min_p, "stop": list(stop)}
        settings: dict[str, Any] = {"max_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p}
        settings |= {name: value for name, value in optional.items() if value}
        with ThreadPoolExecutor(self.workers) as pool:
            asked = (
                pool.submit(self._samples, i, prompt, n, seed_of(seed, i if names is None else names[i]), settings)
                for i, prompt in enumerate(prompts)
            )
            live: set[Future[list[Sampled]]] = set(islice(asked, self.workers))
            while live:
                ended, live = wait(live, return_when=FIRST_COMPLETED)
                live |= set(islice(asked, len(ended)))
                for sampled in (sampled for each in ended for sampled in each.result()):
                    if progress is not None:
                        progress(len(sampled.tokens) or len(sampled.logps))
                    yield sampled

    def _samples(self, place: int, prompt: Question, n: int, seed: int, settings: dict[str, Any]) -> list[Sampled]:
        """n samples of one prompt. A server that gives fewer than it is asked for is asked for the rest."""
        found: list[Choice] = []
        while left := n - len(found):
            wishes = {"n": left, "seed": seed + len(found), "logprobs": 1, "return_token_ids": True}
            given = self._ask(prompt, settings, wishes)
            if len(given) < left:
                self._missing.add("n")
            found += given[:left]
        if n > 1 and settings["temperature"] > 0:
            self._varied.add(len({choice.text for choice in found}) > 1)
        return [Sampled(place, i, *choice) for i, choice in enumerate(found)]

    def _ask(self, prompt: Question, settings: Mapping[str, Any], wishes: Mapping[str, Any]) -> list[Choice]:
        """Asks; and again without what the server says it does not know."""
        while True:
            path, question = self._form(prompt)
            granted = {name: value for name, value in wishes.items() if name not in self._refused}
            if path == CHAT and "logprobs" in granted:
                granted["logprobs"] = True
            body = {"model": self.model, **question, **settings, **granted, **self.settings}
            body = {name: value for name, value in body.items() if value is not None}
            try:
                choices = self._client.ask(path, body, _choices)
            except NoAnswer as error:
                if not self._can_do_without(error, path, granted.keys() - self.settings.keys(), prompt):
                    raise
                continue
            for choice in choices:
                self._missing |= {"return_token_ids"} if choice.text and not choice.tokens else set()
                self._missing |= {"logprobs"} if choice.text and not choice.logps else set()
            return choices

    def _form(self, prompt: Question) -> tuple[str, dict[str, Any]]:
        """Where a prompt is asked, and how."""
        if isinstance(prompt, str):
            if TEXT in self._refused:
                return CHAT, {"messages": [{"role": "user", "content": prompt}]}
            return TEXT, {"prompt": prompt}
        if not prompt:
            raise ValueError("a prompt has no tokens: give at least one (a BOS token will do)")
        if isinstance(prompt[0], int):
            return TEXT, {"prompt": list(prompt)}
        messages = [{"role": m.role, "content": m.content} if isinstance(m, Message) else m for m in prompt]
        return CHAT, {"messages": messages}

    def _can_do_without(self, error: NoAnswer, path: str, wished: Iterable[str], prompt: Question) -> bool:
        """Whether the server refused what can be done without; it is not sent again."""
        refused = set[str]()
        if error.status in _ABSENT and path == TEXT and isinstance(prompt, str):
            refused = {TEXT}
        elif error.status in _REFUSED:
            refused = {name for name in wished if re.search(rf"\b{name}\b", error.said)}
        self._refused |= refused
        return bool(refused)


def seed_of(seed: int, name: int) -> int:
    """A prompt's seed: 30 bits, since servers count in 31 or more, and count on from it for its samples."""
    return sample_key(seed, name) & ((1 << 30) - 1)


def _choices(answer: Any) -> list[Choice]:
    """The samples in a server's answer. ValueError where it is none of OpenAI's form."""
    try:
        found = [_choice(choice) for choice in answer["choices"]]
    except (KeyError, IndexError, TypeError, AttributeError):
        found = []
    if not found:
        raise ValueError(f"no completion in its answer {json.dumps(answer)[:200]}")
    return found


def _choice(choice: Mapping[str, Any]) -> Choice:
    told = choice.get("logprobs") or {}
    if "message" in choice:
        text, logps = choice["message"]["content"], [each["logprob"] for each in told.get("content") or []]
    else:
        text, logps = choice["text"], told.get("token_logprobs") or []
    if not isinstance(text, str | None):
        raise TypeError
    logps = [] if None in logps else [float(logp) for logp in logps]
    return Choice(choice.get("token_ids") or [], text or "", logps, choice.get("finish_reason") in _ENDS)
