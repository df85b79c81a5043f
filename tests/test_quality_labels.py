"""Votes into soft labels: worked by hand, and found again from a simulated truth."""

from datetime import UTC, datetime

import numpy as np
import pytest

from accord.feedback import Annotator, AnnotatorKind, Choice, Comparison, Rating, Sides
from accord.quality import LABELS, pair_labels, response_labels
from accord.quality.dawid_skene import TIE, A, B, Votes, answer_probs, fit

AT = datetime(2026, 1, 1, tzinfo=UTC)
FILE = Annotator("file.jsonl", AnnotatorKind.DATASET)


def vote(choice, annotator="ann", left="a", right="b", prompt="p", **more):
    name = f"{annotator}/{prompt}/{left}/{right}/{choice}"
    return Comparison(more.pop("id", name), annotator, prompt, left, right, Choice(choice), AT, **more)


def thumb(desirable, annotator="ann", response="a", **more):
    return Rating(more.pop("id", f"{annotator}/{response}"), annotator, "p", response, desirable, AT, **more)


def votes_of(text, **more):
    """ "L L T" -> votes of as many annotators on the pair (a, b)."""
    choices = {"L": "left", "R": "right", "T": "tie", "X": "both_bad"}
    return [vote(choices[c], annotator=f"ann{i}", **more) for i, c in enumerate(text.split())]


def p_a(labels):
    (label,) = labels
    return label.p_chosen if label.chosen_id == "a" else 1 - label.p_chosen


@pytest.mark.parametrize(
    ("method", "votes", "expected"),
    [
        ("majority", "L L R", 1.0),
        ("majority", "R R L", 0.0),
        ("majority", "L R", 0.5),
        ("majority", "T R", 0.0),
        ("majority", "T T R", 0.5),
        ("vote_share", "L", 2 / 3),
        ("vote_share", "L L R", 3 / 5),
        ("vote_share", "L T", 2.5 / 4),
        ("vote_share", "L X", 2.5 / 4),
        ("vote_share", "R R R", 1 / 5),
    ],
)
def test_counting_methods_by_hand(method, votes, expected):
    assert p_a(pair_labels(votes_of(votes), method)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("method", "votes", "p_tie"),
    [
        ("majority", "T", 1.0),
        ("majority", "T T R", 1.0),
        ("majority", "L T", 0.0),
        ("majority", "L R", 0.0),  # nobody finds them alike
        ("majority", "T X R", 1.0),
        ("vote_share", "T", 1 / 3),
        ("vote_share", "L T T R", 2 / 6),
        ("vote_share", "L X", 1 / 4),
        ("vote_share", "L R", 0.0),
    ],
)
def test_ties_counted_by_hand(method, votes, p_tie):
    (label,) = pair_labels(votes_of(votes), method)
    assert label.p_tie == pytest.approx(p_tie)


def test_dawid_skenes_tie_is_the_posterior_of_the_truth():
    _, _, votes = simulated_votes(0)
    labels = {label.prompt_id: label for label in pair_labels(votes)}
    by_pair = {p: [v for v in votes if v.prompt_id == p] for p in labels}
    alike = [labels[p].p_tie for p, said in by_pair.items() if all(v.choice == "tie" for v in said)]
    apart = [labels[p].p_tie for p, said in by_pair.items() if all(v.choice != "tie" for v in said)]
    assert min(alike) > 0.5 > np.mean(apart)
    truth = fit(arrays(votes)).truth_I3
    assert [labels[f"p{i}"].p_tie for i in range(300)] == pytest.approx(truth[:, TIE], abs=1e-3)


@pytest.mark.parametrize("method", LABELS)
def test_wins_ties_and_losses_are_probabilities_to_the_last_digit(method):
    _, _, votes = simulated_votes(2)
    for label in [*pair_labels(votes, method), *pair_labels(votes_of("T T T T T T T"), method)]:
        assert 0 <= label.p_tie <= 1
        assert label.p_tie / 2 <= 0.5 <= label.p_chosen <= 1 - label.p_tie / 2


def test_one_vote_is_weighed_as_the_starting_belief_says():
    """With one vote nothing is learnt: Bayes' rule on the starting belief, whose priors are 1/3 each at first."""
    right, _, wrong = np.exp([2.0, 0.5, 0.0]) / np.exp([2.0, 0.5, 0.0]).sum()
    of_tie = 1 / (2 + np.e)
    first = (right + of_tie / 2) / (right + of_tie + wrong)
    votes = Votes(np.array([0]), np.array([0]), np.array([A]), np.array([0]), 1, 1)
    truth = fit(votes, iterations=1).truth_I3[0]
    assert truth[A] + truth[TIE] / 2 == pytest.approx(first)
    assert 0.7 < p_a(pair_labels(votes_of("L"))) < 0.95


@pytest.mark.parametrize("method", LABELS)
def test_which_side_stood_left_does_not_matter_where_sides_say_nothing(method):
    votes = votes_of("L L T R")
    mirrored = [
        vote({"left": "right", "right": "left"}.get(v.choice, v.choice), v.annotator_id, left="b", right="a")
        for v in votes
    ]
    assert p_a(pair_labels(mirrored, method)) == pytest.approx(p_a(pair_labels(votes, method)))


@pytest.mark.parametrize("method", LABELS)
def test_renaming_the_responses_mirrors_the_label(method):
    votes = votes_of("L L R T L")
    renamed = [vote(v.choice, v.annotator_id, left="z", right="b") for v in votes]
    (plain,), (other,) = pair_labels(votes, method), pair_labels(renamed, method)
    assert (plain.chosen_id, other.chosen_id) == ("a", "z")
    assert other.p_chosen == pytest.approx(plain.p_chosen)


@pytest.mark.parametrize("method", LABELS)
def test_what_a_dataset_states_is_certain_unless_people_voted_too(method):
    stated = vote("right", FILE.id)
    (label,) = pair_labels([stated], method, annotators=[FILE])
    assert (label.chosen_id, label.p_chosen, label.weight, label.n_votes) == ("b", 1.0, 1.0, 1)
    assert label.p_tie == 0.0
    (tie,) = pair_labels([vote("tie", FILE.id)], method, annotators=[FILE])
    assert (tie.p_chosen, tie.p_tie) == (0.5, 1.0)
    both = [stated, *votes_of("L L L")]
    assert p_a(pair_labels(both, method, annotators=[FILE])) == p_a(pair_labels(both, method))


def stated(choice="left", **columns):
    (label,) = pair_labels([vote(choice, FILE.id, extra=columns)], annotators=[FILE])
    return label.chosen_id, label.p_chosen, label.p_tie


def test_a_file_may_say_how_sure_its_labels_are():
    assert stated(p_chosen=0.8, p_tie=0.3) == ("a", 0.8, 0.3)
    assert stated("right", p_chosen=0.8) == ("b", 0.8, 0.0)
    assert stated(p_chosen=0.25, p_tie=0.5) == ("b", 0.75, 0.5)
    assert stated(p_chosen=1, p_tie=0.3) == ("a", 1.0, 0.0), "no room is left for a tie"
    assert stated("tie", p_chosen=0.8) == ("a", 0.5, 1.0)
    assert stated(p_chosen="sure") == ("a", 1.0, 0.0)
    two = [vote("left", FILE.id, id=str(p), extra={"p_chosen": p, "p_tie": 0.2}) for p in (0.6, 0.8)]
    (label,) = pair_labels(two, annotators=[FILE])
    assert (label.p_chosen, label.p_tie) == (pytest.approx(0.7), 0.2)


def test_what_people_said_outweighs_such_columns():
    assert p_a(pair_labels([vote("left", extra={"p_chosen": 0.1})], "vote_share")) == 2 / 3


def test_stated_probabilities_reach_responses():
    (label,) = response_labels([], [thumb(True, FILE.id, extra={"p_desirable": 0.7})], annotators=[FILE])
    assert label.p_desirable == 0.7
    compared = response_labels([vote("right", FILE.id, extra={"p_chosen": 0.75})], [], annotators=[FILE])
    assert {label.response_id: label.p_desirable for label in compared} == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize("method", LABELS)
def test_both_bad_is_a_tie_for_the_margin_and_nothing_to_learn_from_alone(method):
    (label,) = pair_labels(votes_of("X X"), method)
    assert (label.p_chosen, label.p_tie, label.weight) == (0.5, 0.0, 0.0)
    tie, bad = pair_labels(votes_of("L L T"), method), pair_labels(votes_of("L L X"), method)
    assert (p_a(tie), tie[0].p_tie) == (p_a(bad), bad[0].p_tie)
    assert bad[0].weight == 1.0
    for response in response_labels(votes_of("X X"), [], method):
        assert response.p_desirable <= 0.3


def test_a_response_compared_with_itself_weighs_nothing():
    (label,) = pair_labels([vote("left", right="a")])
    assert (label.p_chosen, label.weight) == (0.5, 0.0)


def test_superseded_and_repeated_votes_do_not_count():
    first = vote("left", id="1")
    correction = vote("right", id="2", supersedes="1")
    (label,) = pair_labels([first, first, correction], "majority")
    assert (label.chosen_id, label.n_votes) == ("b", 1)


def test_extra_columns_survive_where_the_votes_agree():
    one = vote("left", "x", extra={"margin": 2, "source": "web"})
    two = vote("left", "y", extra={"margin": 3, "source": "web"})
    assert pair_labels([one])[0].extra == {"margin": 2, "source": "web"}
    assert pair_labels([one, two])[0].extra == {"source": "web"}


def test_thumbs_decide_where_there_are_any():
    ratings = [thumb(True, "x"), thumb(True, "y"), thumb(False, "z")]
    (a,) = response_labels([], ratings, "vote_share")
    assert (a.response_id, a.p_desirable, a.n_votes) == ("a", pytest.approx(3 / 5), 3)
    a, b = response_labels(votes_of("R R X"), ratings, "vote_share")
    assert a.p_desirable == pytest.approx(3 / 6), "its rejections do not count, the one 'both bad' does"
    assert b.p_desirable == pytest.approx(3 / 5), "preferred twice, bad once"


def test_thumbs_of_a_dataset_are_certain():
    (label,) = response_labels([], [thumb(False, FILE.id)], annotators=[FILE])
    assert label.p_desirable == 0.0


def test_somebody_who_likes_everything_says_little():
    """Both responses get one thumb up; the one from the annotator who is hard to please is worth more."""
    rng = np.random.default_rng(0)
    ratings = []
    for i in range(60):
        good = bool(rng.random() < 0.5)
        answers = {"fan": True, "critic": good and rng.random() < 0.8}
        answers |= {f"fair{k}": good if rng.random() < 0.85 else not good for k in range(3)}
        ratings += [thumb(answer, who, f"r{i}", id=f"{who}{i}") for who, answer in answers.items()]
    ratings += [thumb(True, "fan", "by fan"), thumb(True, "critic", "by critic")]
    p = {label.response_id: label.p_desirable for label in response_labels([], ratings)}
    assert p["by critic"] > p["by fan"] + 0.15


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(ValueError, match="majority, vote_share, dawid_skene"):
        pair_labels(votes_of("L"), "mode")


def simulated_votes(seed, n_pairs=300, n_annotators=15, each=4, bias=0.0):
    """Pairs (a, b) of a known truth, voted on by annotators from careful to contrary."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([A, TIE, B], n_pairs, p=[0.4, 0.2, 0.4])
    theta = np.column_stack(
        [
            np.linspace(-0.5, 3.5, n_annotators),
            np.full(n_annotators, 0.2),
            np.full(n_annotators, 0.8),
            bias * rng.choice([-1, 1], n_annotators),
        ]
    )
    probs = answer_probs(theta)
    votes = []
    for i, z in enumerate(truth):
        for j in rng.choice(n_annotators, each, replace=False):
            side = rng.choice([-1, 1])
            answer = rng.choice([A, TIE, B], p=probs[j, side + 1, z])
            on_screen = answer if side == 1 else B - answer
            left, right = ("a", "b") if side == 1 else ("b", "a")
            choice = ("left", "tie", "right")[on_screen]
            votes.append(vote(choice, f"ann{j}", left, right, f"p{i}", sides=Sides.SHUFFLED, id=f"{i}/{j}"))
    return truth, theta, votes


def log_loss(truth, labels):
    p = np.array([x.p_chosen if x.chosen_id == "a" else 1 - x.p_chosen for x in labels]).clip(1e-6, 1 - 1e-6)
    y = 1 - truth / 2
    return float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())


@pytest.mark.parametrize("seed", range(3))
def test_dawid_skene_finds_the_truth_better_than_counting(seed):
    truth, _, votes = simulated_votes(seed)
    loss = {method: log_loss(truth, pair_labels(votes, method)) for method in LABELS}
    assert loss["dawid_skene"] < 0.8 * loss["vote_share"] < loss["majority"]


def arrays(votes):
    """The same votes for `fit`, annotator and item numbers being those of the simulation."""
    columns = []
    for v in votes:
        item, annotator = map(int, v.id.split("/"))
        side = 1 if v.left_id == "a" else -1
        answer = {"left": A, "tie": TIE, "right": B}[v.choice]
        columns.append((item, annotator, answer if side == 1 else B - answer, side))
    return Votes(*np.array(columns).T, n_items=300, n_annotators=15)


def test_reliability_and_side_bias_are_found_again():
    _, theta, votes = simulated_votes(0, each=10, bias=1.0)
    found = fit(arrays(votes)).theta_J4
    assert np.corrcoef(found[:, 0], theta[:, 0])[0, 1] > 0.9
    assert np.abs(found[:, 3] - theta[:, 3]).mean() < 0.25
    assert (np.sign(found[:, 3]) == np.sign(theta[:, 3])).all()


def test_bias_is_not_estimated_where_sides_were_not_shuffled():
    _, _, votes = simulated_votes(0, bias=1.0)
    shuffled = arrays(votes)
    found = fit(shuffled._replace(side_N=np.zeros_like(shuffled.side_N))).theta_J4
    assert np.abs(found[:, 3]).max() < 1e-6


def test_few_votes_are_shrunk_towards_the_others():
    """A newcomer who contradicts a clear majority once is not taken for contrary."""
    _, _, votes = simulated_votes(1)
    agree = fit(arrays(votes)).theta_J4[:, 0]
    plus_one = arrays(votes)
    plus_one = plus_one._replace(
        item_N=np.append(plus_one.item_N, 0),
        annotator_N=np.append(plus_one.annotator_N, 15),
        vote_N=np.append(plus_one.vote_N, A),
        side_N=np.append(plus_one.side_N, 1),
        n_annotators=16,
    )
    newcomer = fit(plus_one).theta_J4[15, 0]
    assert abs(newcomer - agree.mean()) < 0.35 * agree.std()


@pytest.mark.parametrize("method", LABELS)
def test_whoever_counts_nothing_changes_nothing(method):
    _, _, votes = simulated_votes(2)
    chance, friends = np.random.default_rng(0), ("one", "two", "three", "four")
    settled = {prompt: chance.choice(["left", "right"]) for prompt in dict.fromkeys(v.prompt_id for v in votes)}
    loud = [vote(said, who, prompt=prompt, id=f"{who} {prompt}") for prompt, said in settled.items() for who in friends]

    def found(said, **weights):
        return {label.prompt_id: p_a([label]) for label in pair_labels(said, method, weights=weights)}

    assert found([*votes, *loud], **dict.fromkeys(friends, 0.0)) == pytest.approx(found(votes), abs=0.03)
    assert found([*votes, *loud]) != pytest.approx(found(votes), abs=0.03)


@pytest.mark.parametrize("method", LABELS)
@pytest.mark.parametrize("heard", [0, 1])
def test_where_hardly_anybody_counts_nothing_is_known(method, heard):
    said = [v for prompt in ("p", "q") for v in votes_of("L L R T L L R", prompt=prompt)]
    names = list(dict.fromkeys(v.annotator_id for v in said))
    for label in pair_labels(said, method, weights=dict.fromkeys(names[heard:], 0.0)):
        assert label.weight == heard
        assert p_a([label]) == pytest.approx(0.5, abs=0.02) if heard == 0 else p_a([label]) > 0.5


def test_half_a_vote_is_half_a_vote():
    said = votes_of("L L R T")
    (label,) = pair_labels(said, "vote_share", weights={v.annotator_id: 0.5 for v in said})
    assert p_a([label]) == pytest.approx((2.5 * 0.5 + 1) / (4 * 0.5 + 2))
    assert label.weight == 0.5


def test_a_pair_weighs_as_much_as_the_weightiest_of_its_votes():
    said = votes_of("L R")
    one, other = (v.annotator_id for v in said)
    (label,) = pair_labels(said, weights={one: 0.2})
    assert label.weight == 1.0
    (label,) = pair_labels(said, weights={one: 0.2, other: 0.0})
    assert label.weight == 0.2
    assert {r.weight for r in response_labels(said, [], weights={one: 0.2, other: 0.0})} == {0.2}


def test_what_is_wanted_where_nobody_gave_a_thumb_is_what_would_be_preferred():
    """By Bradley and Terry: to the others, the mean over them."""
    said = [
        vote("left", f"{who} {left}{right}", left=left, right=right, id=f"{who} {left}{right}")
        for who in range(6)
        for left, right in ("ab", "bc", "ac")
    ]
    p = {label.response_id: label.p_desirable for label in response_labels(said, [], "bradley_terry")}
    pairs = {frozenset((x.chosen_id, x.rejected_id)): x for x in pair_labels(said, "bradley_terry")}

    def over(x, y):
        label = pairs[frozenset((x, y))]
        return label.p_chosen if label.chosen_id == x else 1 - label.p_chosen

    assert p["a"] == pytest.approx((over("a", "b") + over("a", "c")) / 2)
    assert p["b"] == pytest.approx((over("b", "a") + over("b", "c")) / 2)
    assert p["a"] > p["b"] > p["c"]
    elsewhere = [thumb(True, response="z")]
    with_thumb = {label.response_id: label.p_desirable for label in response_labels(said, elsewhere, "bradley_terry")}
    assert {name: with_thumb[name] for name in "abc"} == p
