"""Whether a response tells who made it: what people call telling, and ordinary talk."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.quality.naming import names_itself

SOURCES = ["HuggingFaceTB/SmolLM2-135M-Instruct", "runs/dpo-zephyr", "human"]

TELLS = {
    "I am SmolLM": "I am SmolLM",
    "Hello! I'm SmolLM2, a small model.": "I'm SmolLM2",
    "I am ChatGPT, a large language model trained by OpenAI.": "I am ChatGPT",
    "As ChatGPT, I cannot do that.": "As ChatGPT",
    "I don't have feelings as ChatGPT": "as ChatGPT",
    "I was created by OpenAI.": "I was created by OpenAI",
    "This answer was created by OpenAI": "created by OpenAI",
    "A poem made by the researchers at OpenAI": "made by the researchers at OpenAI",
    "Hugging Face trained me.": "Hugging Face",
    "I was made by the team at Hugging Face.": "I was made by the team at Hugging Face",
    "I'm an AI assistant created by Anthropic to be helpful": "I'm an AI assistant created by Anthropic",
    "I am a large language model, trained by Google.": "I am a large language model, trained by Google",
    "I’m Claude, an AI assistant.": "I'm Claude",
    "My name is Claude.": "My name is Claude",
    "I am **Gemini**, built by Google.": "I am Gemini",
    "I am\nLlama 3, and I can help": "I am Llama 3",
    "I'm Claude 3.5 Sonnet": "I'm Claude 3.5",
    "I am Claude": "I am Claude",
    "I'm Meta's AI assistant": "I'm Meta",
    "I'm Google's large language model": "I'm Google",
    "As an AI language model developed by Meta, I have none": "As an AI language model developed by Meta",
    "as a helpful assistant called Bard": "as a helpful assistant called Bard",
    "As Claude, I aim to help": "As Claude",
    "I am based on GPT-4": "I am based on GPT-4",
    "I'm powered by Llama 3.1!": "I'm powered by Llama 3.1",
    "You are talking to Gemini": "You are talking to Gemini",
    "I am an open-source chatbot built by researchers at Stability AI": "I am an open-source chatbot built by "
    "researchers at Stability AI",
    "I am Qwen, created by Alibaba Cloud.": "I am Qwen",
    "I'm DeepSeek-V3": "I'm DeepSeek-V3",
    "I am an AI model called Claude": "I am an AI model called Claude",
    "I'm a virtual assistant named Alexa": "I'm a virtual assistant named Alexa",
    "i am chatgpt": "i am chatgpt",
    "I'm just a bot based on gpt-3.5-turbo": "I'm just a bot based on gpt-3.5",
    "I was developed by a team of engineers from Mistral AI": "I was developed by a team of engineers from Mistral AI",
    "Call me Alpaca!": "Call me Alpaca",
    "我是通义千问。": "通义千问",
    "我是由OpenAI开发的": "OpenAI",
    "İ said I am SmolLM": "I am SmolLM",
}

TALKS = [
    "",
    "I",
    "I am",
    "I am Claude Monet's biggest fan",
    "Claude Monet painted water lilies. He was made by nature.",
    "I am Claude's biggest fan",
    "I'm Claude-obsessed",
    "My name is Claude Shannon",
    "As Claude Shannon, I would count",
    "As Claude said, it rains",
    "the llama is an animal",
    "Llama is the Spanish word for flame",
    "I am a Llama",
    "a mixtral",
    "Mixtral is a blend of herbs",
    "I'm a Gemini, born in June",
    "As Gemini rises, look up",
    "I was Claude for Halloween",
    "I was a Google engineer",
    "I was hired by Google",
    "I'm from Google",
    "I am at Google",
    "I was called by Google yesterday",
    "Just Google it",
    "I am Apple's biggest fan",
    "I was made by Apple Martin",
    "I'm on Microsoft Teams",
    "Android was developed by Google",
    "I like Go, which was created by Google",
    "Alexa is a virtual assistant developed by Amazon",
    "CUDA was created by Nvidia",
    "such animals as Llama and Alpaca",
    "I grok this",
    "I am a falcon",
    "I am meta about it",
    "The bard sang",
    "I am Alexa Chung",
    "You are talking to Alexa Smith",
    "I am Siri's cousin",
    "I am Phi Beta Kappa",
    "The anthropic principle was created by physicists",
    "I am human",
    "I am human, not a machine",
    "I am a language model",
    "As an AI language model, I have no opinions",
    "I'm an assistant at a bank",
    "I'm an AI. Google is a search engine.",
    "Hi am Claude",
    "import openai",
    "client = OpenAI()",
    "from huggingface_hub import hf_hub_download",
    "see https://openai.com/blog or https://huggingface.co",
    "write to me@OpenAI",
    "OpenAI's interface changed",
    "GPT4All runs at home",
    "the zephyr blows",
]


@pytest.mark.parametrize("text", TELLS)
def test_what_tells(text):
    assert names_itself(text, SOURCES) == TELLS[text]


@pytest.mark.parametrize("text", TALKS)
def test_ordinary_talk(text):
    assert names_itself(text, SOURCES) is None


@pytest.mark.parametrize("text", [text for text in TELLS if "SmolLM2" not in text])
def test_what_tells_does_so_inside_a_longer_answer(text):
    around = "Bread rises, as yeast makes gas. {} Is there more?\n\nI am a fan of bread."
    if text.endswith((".", "!", "?")):
        assert names_itself(around.format(text)) == TELLS[text]


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "Ask smollm2-135m-instruct again", "smollm2-135m-instruct"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm here!", "smollm"),
        ("org/FrobnicateLM", "Frobnicatelm at your service", "Frobnicatelm"),
        ("org/Frobnicate-7b-v0.2/", "Frobnicate 7B v0.2 says no", "Frobnicate 7B v0.2"),
        ("org/Frobnicate-7b", "I am Frobnicate.", "I am Frobnicate"),
        ("org/Frobnicate-7b", "I frobnicate the lever", None),
        ("org/Frobnicate-7b", "I am Frobnicate Jones", None),
        ("C:\\models\\quux3", "quux3 says hello", "quux3"),
        ("claude-3-opus", "I am claude-3-opus", "I am claude-3-opus"),
        ("claude-3-opus", "the opus of claude", None),
        ("runs/dpo-zephyr", "My name is Zephyr.", "My name is Zephyr"),
        ("runs/dpo-3", "Point 3 of the DPO paper; DPO 3", None),
        ("model 97", "model 97 is a car; I am a Model", None),
        ("base", "I am Base", None),
        ("human", "I am Human", None),
        ("", "nothing", None),
        ("///", "nothing", None),
        (".(x)[*-7b", "nothing", None),
    ],
)
def test_the_projects_own_names(source, text, found):
    assert names_itself(text, [source]) == found


def test_who_speaks_of_themselves_comes_before_a_mention():
    assert names_itself("OpenAI is a firm. I am Claude.") == "I am Claude"
    assert names_itself("SmolLM2 is small. I am Claude.", SOURCES) == "I am Claude"


def test_a_place_that_tells_nothing_does_not_hide_one_that_does():
    assert names_itself("I am Claude Monet. I am a Gemini. I am Claude.") == "I am Claude"
    assert names_itself("openai.com, import openai, OpenAI() and OpenAI") == "OpenAI"


HOSTILE = {
    "anchors": "I'm ",
    "an anchor and fillers": "I am a large language model trained by the team of ",
    "fillers": "a large language model ",
    "an anchor and an article": "I am a ",
    "names": "Claude ",
    "names of others": "I am Claude's ",
    "names that go on": "I am Claude Monet and ",
    "roles": "as a ",
    "adjectives": "as an open open open open open open ",
    "makers": "made by ",
    "programs": "OpenAI(",
    "one letter": "a",
    "dashes": "I-",
    "versions": "SmolLM1.1",
    "lines": "I\n",
    "spaces": " ",
    "stars": "I am *",
    "quotes": '"“‘`([',
    "possession": "I am Google's a a a ",
    "talk": "The quick brown fox jumps over the lazy dog, and made some tea by the river. ",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_takes_a_moment(name):
    """Less than 0.2 s on a quiet core. What backtracks would not end, what is quadratic would take a minute."""
    text = "I am " + HOSTILE[name] * (1_000_000 // len(HOSTILE[name]))
    took = []
    while len(took) < 3 and min(took, default=1.0) >= 0.2:
        start = time.process_time()  # of this process alone: the machine may be busy
        names_itself(text, SOURCES)
        took.append(time.process_time() - start)
    assert min(took) < 1.5


PIECES = [
    "I",
    "am",
    "as",
    "by",
    "Claude's",
    "SmolLM2",
    "GPT",
    "4",
    "(",
    "İ",
    "ß",
    "'",
    "-",
    "\u00a0",
    "\x1c",
    " ",
    "\n",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES)))
def test_any_text_is_answered(parts):
    found = names_itself("".join(parts), SOURCES)
    assert found is None or found == " ".join(found.split())


def test_one_letter_alone_changes_the_places_in_a_text_when_made_small():
    assert [chr(c) for c in range(0x110000) if len(chr(c).lower()) != 1] == ["İ"]
