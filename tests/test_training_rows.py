"""Training rows and the split into train and test."""

import pytest

from accord.exchange.rows import demonstration_rows, preference_rows, prompt_rows, split_prompts, unpaired_rows
from accord.feedback import AccordError, Message, PairLabel, Prompt, Response, ResponseLabel

TALK = Prompt((Message("user", "Hi"),), extra={"topic": "greeting"})
TEXT = Prompt("2 + 2 =")
HELLO, GO = Response(TALK.id, (Message("assistant", "Hello!"),)), Response(TALK.id, "Go away.")
FOUR, FIVE = Response(TEXT.id, " 4", extra={"model": "m"}), Response(TEXT.id, " 5", demonstration=True)
PROMPTS, RESPONSES = [TALK, TEXT], [HELLO, GO, FOUR, FIVE]


def test_preference_rows_have_trls_columns_and_two_numbers():
    label = PairLabel(TEXT.id, FOUR.id, FIVE.id, 0.9, 0.5, 3, {"margin": 2, "prompt": "not this one"})
    (row,) = preference_rows(PROMPTS, RESPONSES, [label])
    assert row.pop("id")
    assert row == {
        "prompt": "2 + 2 =",
        "chosen": " 4",
        "rejected": " 5",
        "p_chosen": 0.9,
        "weight": 0.5,
        "margin": 2,
    }


def test_rows_have_ties_where_people_saw_any():
    sure = PairLabel(TALK.id, HELLO.id, GO.id, 0.9, extra={"p_tie": "of another file", "margin": 1})
    tied = PairLabel(TEXT.id, FOUR.id, FIVE.id, 0.7, p_tie=0.4)
    assert [row["p_tie"] for row in preference_rows(PROMPTS, RESPONSES, [sure, tied])] == [0.0, 0.4]
    assert [row["p_tie"] for row in preference_rows([TALK], RESPONSES, iter([sure, tied]))] == [0.0]
    (row,) = preference_rows(PROMPTS, RESPONSES, [sure])
    assert "p_tie" not in row
    assert row["margin"] == 1


def test_a_text_beside_messages_becomes_a_message():
    (row,) = preference_rows(PROMPTS, RESPONSES, [PairLabel(TALK.id, HELLO.id, GO.id, 1.0)])
    assert row["prompt"] == [{"role": "user", "content": "Hi"}]
    assert row["chosen"] == [{"role": "assistant", "content": "Hello!"}]
    assert row["rejected"] == [{"role": "assistant", "content": "Go away."}]
    assert row["topic"] == "greeting"


def test_unpaired_rows_say_the_label_and_how_sure():
    labels = [ResponseLabel(TEXT.id, FOUR.id, 0.8, 1.0, 2), ResponseLabel(TEXT.id, FIVE.id, 0.3)]
    four, five = unpaired_rows(PROMPTS, RESPONSES, labels)
    assert (four["prompt"], four["completion"], four["label"], four["p_desirable"]) == ("2 + 2 =", " 4", True, 0.8)
    assert (five["label"], five["weight"], four["model"]) == (False, 1.0, "m")
    assert four["id"] != five["id"]


def test_demonstrations_are_the_responses_marked_so():
    (row,) = demonstration_rows(PROMPTS, RESPONSES)
    assert (row["prompt"], row["completion"]) == ("2 + 2 =", " 5")


def test_prompt_rows():
    assert next(prompt_rows([TALK])) == {
        "id": TALK.id,
        "prompt": [{"role": "user", "content": "Hi"}],
        "topic": "greeting",
    }


def test_only_the_prompts_given_have_rows():
    labels = [PairLabel(TALK.id, HELLO.id, GO.id, 1.0), PairLabel(TEXT.id, FOUR.id, FIVE.id, 1.0)]
    assert [row["prompt"] for row in preference_rows([TEXT], RESPONSES, labels)] == ["2 + 2 ="]


def test_a_judged_response_that_is_missing_is_named():
    with pytest.raises(AccordError, match=f"response {GO.id} was judged but is not here"):
        list(preference_rows(PROMPTS, [HELLO], [PairLabel(TALK.id, HELLO.id, GO.id, 1.0)]))


def names(prompts):
    return {p.content for p in prompts}


def test_split_is_about_the_fraction_and_stays_when_prompts_are_added():
    few = [Prompt(f"question {i}") for i in range(500)]
    many = few + [Prompt(f"other {i}") for i in range(500)]
    train, test = split_prompts(few, 0.2)
    assert 70 < len(test) < 130
    assert not names(train) & names(test)
    assert names(train) | names(test) == names(few)
    assert names(split_prompts(reversed(many), 0.2).test) & names(few) == names(test)


def test_one_text_is_never_on_both_sides_whatever_its_ids_and_marks_are():
    prompts = [Prompt(f"question {i}", id=f"{k}{i}") for i in range(50) for k in "ab"]
    train, test = split_prompts(prompts, 0.5)
    assert not names(train) & names(test)
    train, test = split_prompts([Prompt("x", "train", id="1"), Prompt("x", "test", id="2"), Prompt("y")])
    assert (names(train), names(test)) == ({"y"}, {"x"})


def test_marks_hold_and_make_the_fraction_idle():
    prompts = [Prompt(f"question {i}", "test" if i < 3 else "") for i in range(100)]
    assert names(split_prompts(prompts, 0.5).test) == {"question 0", "question 1", "question 2"}
    marked = [Prompt(f"question {i}", "train") for i in range(100)]
    assert split_prompts(marked, 0.5).test == []


@pytest.mark.parametrize(
    ("n", "fraction", "tested"), [(2, 0.001, 1), (2, 1.0, 1), (1, 0.5, 0), (0, 0.5, 0), (9, 0.0, 0)]
)
def test_a_few_prompts_leave_something_on_both_sides(n, fraction, tested):
    train, test = split_prompts([Prompt(f"question {i}") for i in range(n)], fraction)
    assert (len(train), len(test)) == (n - tested, tested)
