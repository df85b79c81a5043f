"""Every format, read from rows made here: which nouns come out, and that what came with them survives."""

import csv
import json

import pytest

from accord.exchange import FORMATS, read
from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Message,
    Prompt,
    Rating,
    Response,
    Sides,
    fingerprint,
    text_of,
)

ASK = {"role": "user", "content": "What colour is the sky?"}
BLUE = {"role": "assistant", "content": "Blue."}
GREEN = {"role": "assistant", "content": "Green."}
ASKED = (Message("user", "What colour is the sky?"),)
SAID_BLUE, SAID_GREEN = (Message("assistant", "Blue."),), (Message("assistant", "Green."),)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def of(kind, nouns):
    return [noun for noun in nouns if isinstance(noun, kind)]


def pairs(nouns):
    """(prompt, chosen, rejected) of each comparison, by content."""
    by_id = {noun.id: noun.content for noun in of(Prompt | Response, nouns)}
    return [(by_id[c.prompt_id], by_id[c.left_id], by_id[c.right_id]) for c in of(Comparison, nouns)]


PREFERENCES = {
    "standard": (
        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
        ("The sky is", " blue.", " green."),
    ),
    "implicit standard": (
        {"chosen": "The sky is blue.", "rejected": "The sky is green."},
        ("The sky is", " blue.", " green."),
    ),
    "conversational": ({"prompt": [ASK], "chosen": [BLUE], "rejected": [GREEN]}, (ASKED, SAID_BLUE, SAID_GREEN)),
    "implicit conversational": ({"chosen": [ASK, BLUE], "rejected": [ASK, GREEN]}, (ASKED, SAID_BLUE, SAID_GREEN)),
    "the same answer twice": ({"chosen": [ASK, BLUE], "rejected": [ASK, BLUE]}, (ASKED, SAID_BLUE, SAID_BLUE)),
    "prompt said again": (
        {"prompt": [ASK], "chosen": [ASK, BLUE], "rejected": [ASK, GREEN]},
        (ASKED, SAID_BLUE, SAID_GREEN),
    ),
    "ultrafeedback": (
        {"prompt": ASK["content"], "chosen": [ASK, BLUE], "rejected": [ASK, GREEN]},
        (ASKED, SAID_BLUE, SAID_GREEN),
    ),
    "one message, not a list": ({"prompt": [ASK], "chosen": BLUE, "rejected": GREEN}, (ASKED, SAID_BLUE, SAID_GREEN)),
    "parts of text": (
        {
            "prompt": [{"role": "user", "content": [{"type": "text", "text": ASK["content"]}]}],
            "chosen": [BLUE],
            "rejected": [GREEN],
        },
        (ASKED, SAID_BLUE, SAID_GREEN),
    ),
    "hh-rlhf": (
        {
            "chosen": "\n\nHuman: What colour is the sky?\n\nAssistant: Blue.",
            "rejected": "\n\nHuman: What colour is the sky?\n\nAssistant: Green.",
        },
        (ASKED, SAID_BLUE, SAID_GREEN),
    ),
    "hh-rlhf, two turns in a row": (
        {
            "chosen": "\n\nHuman: What colour is the sky?\n\nAssistant: Blue.\n\nAssistant: Why?",
            "rejected": "\n\nHuman: What colour is the sky?\n\nAssistant: ",
        },
        (ASKED, (Message("assistant", "Blue.\n\nWhy?"),), (Message("assistant", ""),)),
    ),
    "sharegpt": (
        {
            "conversations": [{"from": "human", "value": "What colour is the sky?"}],
            "chosen": {"from": "gpt", "value": "Blue."},
            "rejected": {"from": "gpt", "value": "Green."},
        },
        (ASKED, SAID_BLUE, SAID_GREEN),
    ),
    "sharegpt, with a system column": (
        {
            "system": "Be short.",
            "conversations": [{"from": "human", "value": "What colour is the sky?"}],
            "chosen": {"from": "gpt", "value": "Blue."},
            "rejected": {"from": "gpt", "value": "Green."},
        },
        ((Message("system", "Be short."), *ASKED), SAID_BLUE, SAID_GREEN),
    ),
    "alpaca": (
        {"instruction": "What colour is", "input": "the sky?", "chosen": "Blue.", "rejected": "Green."},
        ((Message("user", "What colour is\nthe sky?"),), SAID_BLUE, SAID_GREEN),
    ),
    "alpaca, both in output": (
        {"instruction": "What colour is the sky?", "output": ["Blue.", "Green."]},
        (ASKED, SAID_BLUE, SAID_GREEN),
    ),
}


@pytest.mark.parametrize(("row", "expected"), PREFERENCES.values(), ids=PREFERENCES)
def test_preference_is_a_vote_for_the_left(tmp_path, row, expected):
    nouns = list(read(write(tmp_path / "mine.jsonl", [row | {"margin": 1.5, "source": {"deep": [1]}}])))
    assert pairs(nouns) == [expected]
    (vote,) = of(Comparison, nouns)
    assert (vote.choice, vote.sides) == (Choice.LEFT, Sides.UNKNOWN)
    assert vote.extra == {"margin": 1.5, "source": {"deep": [1]}}
    assert of(Annotator, nouns) == [Annotator("dataset:mine", AnnotatorKind.DATASET)]


RATINGS = {
    "standard": {"prompt": "The sky is", "completion": " blue.", "label": True},
    "conversational": {"prompt": [ASK], "completion": [BLUE], "label": 1},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hi."}], "kto_tag": True},
    "messages with a label": {"messages": [ASK, BLUE], "label": "true"},
    "alpaca": {"instruction": "What colour is the sky?", "output": "Blue.", "kto_tag": "good"},
}


@pytest.mark.parametrize("row", RATINGS.values(), ids=RATINGS)
def test_label_is_a_thumb(tmp_path, row):
    nouns = list(read(write(tmp_path / "thumbs.jsonl", [row | {"why": "it is"}])))
    (rating,), (response,) = of(Rating, nouns), of(Response, nouns)
    assert rating.desirable
    assert (rating.response_id, rating.extra) == (response.id, {"why": "it is"})


@pytest.mark.parametrize(
    ("label", "desirable"),
    [(True, True), (False, False), (1, True), (0, False), (0.0, False), ("True", True), ("no", False), ("👎", False)],
)
def test_thumbs_are_written_in_many_ways(tmp_path, label, desirable):
    (rating,) = of(Rating, read(write(tmp_path / "a.jsonl", [RATINGS["standard"] | {"label": label}])))
    assert rating.desirable is desirable


DEMONSTRATIONS = {
    "prompt-completion": ({"prompt": "2 + 2 =", "completion": " 4"}, [("2 + 2 =", " 4")]),
    "messages": ({"messages": [ASK, BLUE]}, [(ASKED, SAID_BLUE)]),
    "messages of two turns": (
        {"messages": [ASK, BLUE, {"role": "user", "content": "And grass?"}, GREEN]},
        [(ASKED, SAID_BLUE), ((*ASKED, *SAID_BLUE, Message("user", "And grass?")), SAID_GREEN)],
    ),
    "sharegpt": (
        {"conversations": [{"from": "human", "value": "What colour is the sky?"}, {"from": "gpt", "value": "Blue."}]},
        [(ASKED, SAID_BLUE)],
    ),
    "alpaca": (
        {"instruction": "And grass?", "output": "Green.", "history": [["What colour is the sky?", "Blue."]]},
        [((*ASKED, *SAID_BLUE, Message("user", "And grass?")), SAID_GREEN)],
    ),
}


@pytest.mark.parametrize(("row", "expected"), DEMONSTRATIONS.values(), ids=DEMONSTRATIONS)
def test_demonstrations_are_responses_and_no_votes(tmp_path, row, expected):
    nouns = list(read(write(tmp_path / "a.jsonl", [row])))
    prompts = {prompt.id: prompt.content for prompt in of(Prompt, nouns)}
    assert [(prompts[r.prompt_id], r.content) for r in of(Response, nouns) if r.demonstration] == expected
    assert not of(Comparison | Rating | Annotator, nouns)


def test_prompts_alone_keep_their_columns(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"prompt": "Why?", "solution": "42", "split": "test"}])
    assert list(read(path)) == [Prompt("Why?", split="test", extra={"solution": "42"})]


def test_every_noun_comes_before_its_use(tmp_path):
    rows = [{"prompt": f"{i % 7}?", "chosen": f"{i}", "rejected": f"{i % 3} or", "worker": i % 5} for i in range(200)]
    known = set()
    for noun in read(write(tmp_path / "a.jsonl", rows)):
        if isinstance(noun, Response):
            assert noun.prompt_id in known
        if isinstance(noun, Comparison):
            assert {noun.prompt_id, noun.left_id, noun.right_id, noun.annotator_id} <= known
        known.add(noun.id)
    assert {f"{i}" for i in range(5)} <= known


def test_people_who_are_named_are_people(tmp_path):
    rows = [PREFERENCES["standard"][0] | {"annotator": "ada"}, PREFERENCES["standard"][0] | {"annotator": "ben"}]
    nouns = list(read(write(tmp_path / "a.jsonl", rows)))
    assert of(Annotator, nouns) == [Annotator("ada"), Annotator("ben")]
    assert [(vote.annotator_id, vote.extra) for vote in of(Comparison, nouns)] == [("ada", {}), ("ben", {})]


def test_a_vote_is_known_again_wherever_it_is_read(tmp_path):
    """Sorted, grown, saved as CSV: the ids stay. The same row twice in one file is two votes."""
    rows = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no", "margin": i / 3} for i in range(3)]
    ids = [vote.id for vote in of(Comparison, read(write(tmp_path / "a.jsonl", rows)))]
    turned = of(Comparison, read(write(tmp_path / "a.jsonl", [*reversed(rows), rows[0]])))
    assert [vote.id for vote in turned][:3] == ids[::-1]
    assert len({vote.id for vote in turned}) == 4
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert [vote.id for vote in of(Comparison, read(tmp_path / "a.csv"))] == ids


def test_votes_keep_the_order_of_the_file(tmp_path):
    rows = [{"prompt": f"{i}?", "chosen": "yes", "rejected": "no"} for i in range(50)]
    path = write(tmp_path / "a.jsonl", rows)
    votes = of(Comparison, read(path))
    assert [vote.at for vote in votes] == sorted({vote.at for vote in votes})
    assert abs(votes[0].at.timestamp() - path.stat().st_mtime) < 1


def test_split_is_the_columns_unless_it_is_given(tmp_path):
    row = PREFERENCES["standard"][0]
    path = write(tmp_path / "a.jsonl", [row | {"split": "validation"}, row | {"prompt": "Sky:", "split": "train_sft"}])
    assert [prompt.split for prompt in of(Prompt, read(path))] == ["test", "train"]
    assert [prompt.split for prompt in of(Prompt, read(path, split="train"))] == ["train", "train"]
    assert all("split" not in vote.extra for vote in of(Comparison, read(path)))


RANKINGS = {
    "texts": {"prompt": "2 + 2 =", "completions": [" 5", " 4", " four", " 3"], "scores": [1, 9.5, 9.5, -2]},
    "messages": {
        "prompt": [ASK],
        "completions": [[GREEN], BLUE, [ASK, {"role": "assistant", "content": "Azure."}]],
        "scores": [0, 2, 1],
    },
}


def test_a_ranking_is_every_pair(tmp_path):
    nouns = list(read(write(tmp_path / "ranks.jsonl", [RANKINGS["texts"] | {"source": "quiz", "split": "test"}])))
    said = {response.id: response.content for response in of(Response, nouns)}
    assert set(said.values()) == {" 5", " 4", " four", " 3"}
    votes = of(Comparison, nouns)
    assert {(said[v.left_id], said[v.right_id], v.choice) for v in votes} == {
        (" 4", " 5", Choice.LEFT),
        (" four", " 5", Choice.LEFT),
        (" 5", " 3", Choice.LEFT),
        (" 4", " four", Choice.TIE),
        (" 4", " 3", Choice.LEFT),
        (" four", " 3", Choice.LEFT),
    }
    assert votes[0].extra == {"source": "quiz", "score_chosen": 9.5, "score_rejected": 1}
    assert len({vote.id for vote in votes}) == len(votes) == 6
    assert of(Annotator, nouns) == [Annotator("dataset:ranks", AnnotatorKind.DATASET)]
    assert [prompt.split for prompt in of(Prompt, nouns)] == ["test"]


def test_a_ranking_of_messages(tmp_path):
    nouns = list(read(write(tmp_path / "a.jsonl", [RANKINGS["messages"]])))
    azure = (Message("assistant", "Azure."),)
    assert pairs(nouns) == [(ASKED, SAID_BLUE, SAID_GREEN), (ASKED, azure, SAID_GREEN), (ASKED, SAID_BLUE, azure)]


def test_numbers_to_train_on_are_numbers_however_a_cell_spells_them(tmp_path):
    rows = "1?,a,b,0.80,,1.50,007\n2?,a,b,1,.5,-2,8\n3?,a,b,,,large,9\n"
    (tmp_path / "a.csv").write_text(f"prompt,chosen,rejected,p_chosen,p_tie,margin,page\n{rows}")
    votes = of(Comparison, read(tmp_path / "a.csv"))
    assert [vote.extra for vote in votes] == [
        {"p_chosen": 0.8, "margin": 1.5, "page": "007"},
        {"p_chosen": 1, "p_tie": 0.5, "margin": -2, "page": 8},
        {"margin": "large", "page": 9},
    ]


PAIRS = [
    {"id": 0, "prompt": 8, "text": "Why?", "type": "t", "model_x": 1, "result_x": "So.", "model_y": 2, "result_y": ""},
    {
        "id": -1,
        "prompt": 9,
        "text": "How?",
        "model_x": 1,
        "result_x": "a",
        "model_y": 3,
        "result_y": "b",
        "golden": "tie",
        "reason": "r",
    },
]
CROWD = "id,prompt,model_x,model_y,worker,winner,left,right\n0,8,1,2,58,right,Llama,Phi\n0,8,1,2,59,tie,Llama,Phi\n"


def test_llmfao_joins_votes_and_texts(tmp_path):
    (tmp_path / "votes.csv").write_text(CROWD)
    nouns = list(read([tmp_path / "votes.csv", write(tmp_path / "pairs.jsonl", PAIRS)]))
    assert [(text_of(r.content), r.source) for r in of(Response, nouns)] == [
        ("So.", "Llama"),
        ("", "Phi"),
        ("a", "Llama"),
        ("b", "model 3"),
    ]
    assert [(v.annotator_id, v.choice, v.sides) for v in of(Comparison, nouns)] == [
        ("llmfao:control", Choice.TIE, Sides.FIXED),
        ("llmfao:58", Choice.RIGHT, Sides.FIXED),
        ("llmfao:59", Choice.TIE, Sides.FIXED),
    ]
    assert of(Prompt, nouns)[0].extra == {"type": "t", "prompt_number": 8}


def test_each_row_here_fits_one_format_only():
    rows = [*(row for row, _ in (*PREFERENCES.values(), *DEMONSTRATIONS.values())), *RATINGS.values(), *PAIRS]
    rows += RANKINGS.values()
    for row in rows:
        assert sum(format.sniff(row) for format in FORMATS.values()) == 1, row


def test_ids_are_those_of_the_nouns(tmp_path):
    nouns = list(read(write(tmp_path / "a.jsonl", [PREFERENCES["standard"][0]])))
    assert of(Prompt, nouns)[0].id == fingerprint("prompt", "The sky is")
