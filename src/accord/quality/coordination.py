"""Annotators who agree more than what is true explains: copies, and groups that settled their answers beforehand.

Two votes u, v of annotators j, k on one item, independent of each other given its truth z, are the pair (u, v) with

    P(u, v) = Σ_z q(z) p_j(u | z) p_k(v | z),      q: the truth as all votes but these two say (`quality.dawid_skene`)

With probability c the second is no opinion but the first said again, π(u) being how often either of them says u:

    P_c(u, v) = (1 − c) P(u, v) + c · [u = v] π(u)

so that the same mistake weighs more than the same right answer. Items differ in more than their truth (some are hard,
some are a matter of taste), which makes everybody agree a little more than P says; c₀, the c that fits all pairs of
votes best, takes that up. Annotators are alike where a c > c₀ fits their shared items better, by the likelihood-ratio
test: 2 · log-likelihood gained is ½χ²₀ + ½χ²₁ where they are not (Self & Liang 1987).

- **Pairs** who share 8 items or more are tested one by one.
- **Groups** can share too few items for that, each member with each other, and agree in sum. In four fifths of the
  items they are looked for (leading eigenvectors of the annotators' evidence matrix, sharpened by mean-field steps), in
  the last fifth every annotator is tested against the one that suits them best, and so for each fifth in turn: what was
  found by chance is not found again.

p-values are corrected together (Benjamini & Hochberg 1995). People of one taste agree as well, when the crowd's is
another. So a group that agrees no more than reliable people of the same taste would is called like-minded, and nothing
else. Everything is sparse: time grows with the number of votes that share an item, not with annotators².
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from scipy.stats import binom, false_discovery_control, norm

from accord.quality.dawid_skene import Fit, Floats, Ints, Votes, answer_probs
from accord.quality.reliability import known, log_likelihood, softmax, truth_scores, without

#: On an item with more votes than this, each is compared with so many others, drawn by lot.
PARTNERS = 50
#: A pair is tested where it shares so many items; an annotator against a group, so many pairs of votes.
SHARED, MET = 8, 5
#: The c that groups are looked for with, the odds that an annotator is of one, and how many are looked for.
SOUGHT, ODDS, ROUNDS = 0.7, 0.05, 10
#: What two annotators' shared items may say for their being of one group: pairs are found by themselves.
MOST_EVIDENCE = 1.5
#: Items are cut into so many parts; eigenvectors that are tried as starts; mean-field steps at most.
PARTS, STARTS, STEPS = 5, 2, 20
#: Sizes of the groups that are started from, as shares of the crowd.
SIZES = (0.02, 0.05, 0.1, 0.2)
FALSE_SHARE = 0.01
#: What still passes for taste: the agreement of people at this quantile of the crowd's reliability, or where that is
#: less, 85 in 100. People are known to agree in 63 to 77 of 100 such comparisons (Bai et al. 2022, Ouyang et al. 2022).
RELIABLE, PEOPLE = 0.9, 0.85
#: The levels at which that is tested: larger groups were looked for among many.
LEVEL, PAIR_LEVEL = 0.01, 0.05
CHANCE_LIKE = 1e-12


class Meetings(NamedTuple):
    """M pairs of votes on one item by two annotators.

    first_M, second_M   votes of them
    part_M              0 … PARTS − 1, the same for all pairs of votes on an item
    expected_M          how probable it is that they agree, if independent given the truth
    gain_M              [u = v] π(u) / P(u, v) − 1: P_c / P is 1 + c · gain
    """

    first_M: Ints
    second_M: Ints
    part_M: Ints
    expected_M: Floats
    gain_M: Floats


class Alike(NamedTuple):
    """What speaks for an annotator's being one of a group of coordinated ones.

    annotator    0 … J-1
    others       the rest of the group
    agreed, met  pairs of votes on one item, one theirs and one of the others; and how many said the same
    expected     how many would, of independent people with these reliabilities
    copied       c, the share of answers that are said again
    p_value      corrected
    first        of `met`, how often they voted before the other; None where times are not known
    """

    annotator: int
    others: tuple[int, ...]
    agreed: int
    met: int
    expected: float
    copied: float
    p_value: float
    first: int | None = None


def meetings(votes: Votes, fitted: Fit, seed: int = 0) -> Meetings:
    """All pairs of votes on the same item; on items with very many, a part of them drawn by lot."""
    rng = np.random.default_rng(seed)
    by_item = np.lexsort((rng.random(len(votes.item_N)), votes.item_N))
    item_N, annotator_N = votes.item_N[by_item], votes.annotator_N[by_item]
    pairs = []
    for distance in range(1, min(int(np.bincount(item_N).max(initial=1)) - 1, PARTNERS) + 1):
        same = np.flatnonzero(item_N[distance:] == item_N[:-distance])
        pairs.append(np.stack([same, same + distance]))
    at_2M = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.int64)
    at_2M = at_2M[:, annotator_N[at_2M[0]] != annotator_N[at_2M[1]]]
    m, n = by_item[at_2M]
    log_N3 = log_likelihood(votes, fitted)
    q_M3 = softmax(truth_scores(votes, fitted, log_N3)[votes.item_N[m]] - log_N3[m] - log_N3[n])
    # as if both had been shown A on the same side: p(answer | z) of each vote, [N, truth, answer]
    probs_N33 = answer_probs(fitted.theta_J4)[votes.annotator_N, votes.side_N + 1]
    joint_M33 = np.einsum("mz,mzu,mzv->muv", q_M3, probs_N33[m], probs_N33[n], optimize=True)
    rows = np.arange(len(m))
    u, v = votes.vote_N[m], votes.vote_N[n]
    usual_M3 = (joint_M33.sum(axis=2) + joint_M33.sum(axis=1)) / 2
    gain_M = np.where(u == v, usual_M3[rows, u] / np.maximum(joint_M33[rows, u, v], CHANCE_LIKE), 0.0) - 1
    part_I = rng.integers(PARTS, size=votes.n_items)
    return Meetings(m, n, part_I[votes.item_N[m]], np.einsum("muu->m", joint_M33), gain_M)


class Copied(NamedTuple):
    """For each key: the c that fits best, by how much the log-likelihood gains on c₀'s, and the test's p-value."""

    c_K: Floats
    gained_K: Floats
    p_K: Floats


def copied(gain_M: Floats, key_M: Ints, keys: int, c0: float = 0.0) -> Copied:
    """The c ≥ c₀ that maximises Σ log(1 + c · gain) over each key's pairs of votes, by bisection of its slope."""
    low_K, high_K = np.full(keys, c0), np.full(keys, 1 - 1e-6)
    for _ in range(30):
        c_K = (low_K + high_K) / 2
        rises_K = np.bincount(key_M, gain_M / (1 + c_K[key_M] * gain_M), keys) > 0
        low_K, high_K = np.where(rises_K, c_K, low_K), np.where(rises_K, high_K, c_K)
    c_K = (low_K + high_K) / 2
    gained_M = np.log1p(c_K[key_M] * gain_M) - np.log1p(c0 * gain_M)
    gained_K: Floats = np.maximum(np.bincount(key_M, gained_M, keys), 0.0).astype(np.float64)
    return Copied(c_K, gained_K, np.asarray(norm.sf(np.sqrt(2 * gained_K)), np.float64))


class Groups(NamedTuple):
    """settled: who agrees more than people of one taste do; like_minded: who agrees as such people do. Each group has
    two annotators or more, with what speaks for every member."""

    settled: list[list[Alike]]
    like_minded: list[list[Alike]]


def coordinated(votes: Votes, fitted: Fit, *, at_N: Floats | None = None, seed: int = 0) -> Groups:
    """All groups whose agreement the truth does not explain.

    `fitted` is of these votes; `at_N` when they were cast, in any unit, tells who of a pair voted first.
    """
    met = meetings(votes, fitted, seed)
    if not len(met.gain_M):
        return Groups([], [])
    j_M, k_M = votes.annotator_N[met.first_M], votes.annotator_N[met.second_M]
    c0 = float(copied(met.gain_M, np.zeros(len(j_M), np.int64), 1).c_K[0])
    tests = [*_pairs(j_M, k_M, met.gain_M, c0), *_members(j_M, k_M, met, c0, votes.n_annotators)]
    corrected = false_discovery_control([test.p for test in tests]).tolist() if tests else []
    p_J: dict[int, float] = {}
    links: set[tuple[int, int]] = set()
    for test, p in zip(tests, corrected, strict=True):
        if p <= FALSE_SHARE:
            links |= {(test.annotator, other) for other in test.others}
            p_J[test.annotator] = min(p, p_J.get(test.annotator, 1.0))
    groups = _components(links)
    if not groups:
        return Groups([], [])
    most = _of_one_taste(votes, fitted, np.concatenate(groups))
    found = Groups([], [])
    for group in groups:
        kept = found.settled if _too_alike(group, votes, met, most) else found.like_minded
        kept.append(_speaks(group, votes, met, p_J, c0, at_N))
    return found


class _Test(NamedTuple):
    annotator: int
    others: tuple[int, ...]
    p: float


def _pairs(j_M: Ints, k_M: Ints, gain_M: Floats, c0: float) -> Iterator[_Test]:
    """Every two annotators who share enough items, each with the other."""
    if not len(j_M):
        return
    low_M, high_M = np.minimum(j_M, k_M), np.maximum(j_M, k_M)
    size = int(high_M.max()) + 1
    pair_P, key_M, count_P = np.unique(low_M * size + high_M, return_inverse=True, return_counts=True)
    p_P = copied(gain_M, key_M, len(pair_P), c0).p_K
    for pair, p in zip(pair_P[count_P >= SHARED].tolist(), p_P[count_P >= SHARED].tolist(), strict=True):
        low, high = divmod(pair, size)
        yield _Test(low, (high,), p)
        yield _Test(high, (low,), p)


def _members(j_M: Ints, k_M: Ints, met: Meetings, c0: float, n_annotators: int) -> Iterator[_Test]:
    """Every annotator against a group that was found, and chosen for them, in other items than it is tested on."""
    weight_M = np.log1p(SOUGHT * met.gain_M) - np.log1p(c0 * met.gain_M)
    owns, gains = [], []
    often_JJ = csr_array((n_annotators, n_annotators))
    for part in range(PARTS):
        here = met.part_M == part
        evidence_JJ = _both_ways(weight_M[~here], j_M[~here], k_M[~here], n_annotators)
        group_GJ = np.array(list(_search(evidence_JJ)), np.float64).reshape(-1, n_annotators)
        if not len(group_GJ):
            continue
        chosen_J = np.argmax(evidence_JJ @ group_GJ.T, axis=1)
        for own, other in ((j_M[here], k_M[here]), (k_M[here], j_M[here])):
            among = group_GJ[chosen_J[own], other] > 0
            owns.append(own[among])
            gains.append(met.gain_M[here][among])
        of_group_GJ = csr_array(group_GJ)
        mine_JG = csr_array((np.ones(n_annotators), (np.arange(n_annotators), chosen_J)), (n_annotators, len(group_GJ)))
        often_JJ = often_JJ + mine_JG.multiply(group_GJ.T > 0).tocsr() @ of_group_GJ
    if not owns:
        return
    own, gain = np.concatenate(owns), np.concatenate(gains)
    count_J = np.bincount(own, minlength=n_annotators)
    p_J = copied(gain, own, n_annotators, c0).p_K
    often_JJ = csr_array(often_JJ)
    for one in np.flatnonzero(count_J >= MET).tolist():
        row = slice(often_JJ.indptr[one], often_JJ.indptr[one + 1])
        others = often_JJ.indices[row][often_JJ.data[row] > PARTS / 2]
        yield _Test(one, tuple(other for other in others.tolist() if other != one), float(p_J[one]))


def _both_ways(weight_M: Floats, j_M: Ints, k_M: Ints, n: int) -> csr_array:
    """What all pairs of votes of two annotators add up to, within ±MOST_EVIDENCE, [J, J], symmetric."""
    ends = (np.concatenate([j_M, k_M]), np.concatenate([k_M, j_M]))
    evidence_JJ = csr_array(coo_array((np.tile(weight_M, 2), ends), (n, n)))
    evidence_JJ.data = np.clip(evidence_JJ.data, -MOST_EVIDENCE, MOST_EVIDENCE)
    return evidence_JJ


def _search(evidence_JJ: csr_array) -> Iterator[Floats]:
    """Groups of three or more whose evidence for each other adds up, each as 1 for its members, [J].

    The clearest comes first; every annotator is in one at most.
    """
    left_JJ = evidence_JJ
    for _ in range(ROUNDS):
        found = [_sharpened(left_JJ, start_J) for start_J in _starts(left_JJ)]
        if not found:  # a crowd of four or fewer has no groups, only pairs
            return
        member_J = max(found, key=lambda member_J: float(member_J @ (left_JJ @ member_J)))
        if member_J.sum() < 3:
            return
        yield member_J
        left_JJ = csr_array(left_JJ.multiply(1 - member_J[:, None]).multiply(1 - member_J[None, :]))


def _sharpened(evidence_JJ: csr_array, member_J: Floats) -> Floats:
    """Mean-field steps: P(j is a member) = σ(Σ_k evidence_jk P(k is one) + log prior odds), then 0 or 1."""
    for _ in range(STEPS):
        logit_J = evidence_JJ @ member_J + np.log(ODDS)
        before, member_J = member_J, 1 / (1 + np.exp(-np.clip(logit_J, -50, 50)))
        if np.abs(member_J - before).max() < 1e-3:
            break
    return (member_J > 0.5).astype(np.float64)


def _starts(evidence_JJ: csr_array) -> Iterator[Floats]:
    """Sets of several sizes to start from: the heaviest in a leading eigenvector, then those with the most evidence
    together (the truncated power method, Yuan & Zhang 2013)."""
    n = evidence_JJ.shape[0]
    count = min(STARTS, n)
    if n < 200:
        vectors_JE = np.linalg.eigh(evidence_JJ.toarray())[1][:, -count:]
    else:
        vectors_JE = eigsh(evidence_JJ, k=count, which="LA", v0=np.ones(n), tol=1e-2)[1]
    for vector_J in [*vectors_JE.T, *-vectors_JE.T]:
        for size in sorted({max(3, round(share * n)) for share in SIZES if share * n >= 1}):
            member_J = _heaviest(vector_J, size)
            for _ in range(STEPS):
                before, member_J = member_J, _heaviest(evidence_JJ @ member_J, size)
                if (before == member_J).all():
                    break
            yield member_J


def _heaviest(weight_J: Floats, size: int) -> Floats:
    member_J = np.zeros(len(weight_J))
    member_J[np.argsort(-weight_J, kind="stable")[:size]] = 1
    return member_J


def _components(links: set[tuple[int, int]]) -> list[Ints]:
    """Annotators that are linked both ways, directly or through others: two or more in each group.

    A link counts if half of the links of whichever end has fewer lead to those that the other end is linked with: so
    one link by chance makes no single group out of two.
    """
    ends = np.array(sorted((a, b) for a, b in links if (b, a) in links), np.int64).reshape(-1, 2)
    found, place = np.unique(ends, return_inverse=True)
    a, b = place.reshape(-1, 2).T
    itself = np.arange(len(found))
    ones = np.ones(len(a) + len(found))
    linked_FF = csr_array(coo_array((ones, (np.append(a, itself), np.append(b, itself))), (len(found),) * 2))
    count_F = linked_FF.sum(axis=1)
    common = linked_FF.multiply(linked_FF @ linked_FF).tocoo()
    x, y = common.coords
    kept = common.data >= np.minimum(count_F[x], count_F[y]) / 2
    graph = coo_array((common.data[kept], (x[kept], y[kept])), (len(found),) * 2)
    count, group_F = connected_components(graph, directed=False)
    groups = [found[group_F == g] for g in range(count)]
    return [group for group in groups if len(group) > 1]


def _of_one_taste(votes: Votes, fitted: Fit, suspects: Ints) -> float:
    """How often two people agree who have one taste and are as reliable as the 90th percentile of the others:
    r² + (1 − r²) · Σ_v π(v)²; at least PEOPLE. The suspects are left out: copies make each other look reliable."""
    others_J = np.ones(votes.n_annotators, bool)
    others_J[suspects] = False
    if not others_J.any():
        return PEOPLE
    mean_J = known(votes, without(votes, fitted, suspects)).mean_J
    r = float(np.quantile(mean_J[others_J], RELIABLE))
    usual_3 = np.bincount(votes.vote_N, minlength=3) / len(votes.vote_N)
    if votes.symmetric:
        usual_3 = (usual_3 + usual_3[::-1]) / 2
    return max(PEOPLE, float(r**2 + (1 - r**2) * (usual_3**2).sum()))


def _too_alike(group: Ints, votes: Votes, met: Meetings, most: float) -> bool:
    """Whether they agree more often than `most`, by an exact test with one pair of votes an item."""
    inside = np.isin(votes.annotator_N[met.first_M], group) & np.isin(votes.annotator_N[met.second_M], group)
    first, second = met.first_M[inside], met.second_M[inside]
    _, one_an_item = np.unique(votes.item_N[first], return_index=True)
    agreed = (votes.vote_N[first] == votes.vote_N[second])[one_an_item]
    return bool(binom.sf(agreed.sum() - 1, len(agreed), most) <= (LEVEL if len(group) > 2 else PAIR_LEVEL))


def _speaks(
    group: Ints, votes: Votes, met: Meetings, p_J: dict[int, float], c0: float, at_N: Floats | None
) -> list[Alike]:
    """The evidence against each of the group, all items taken together."""
    j_M, k_M = votes.annotator_N[met.first_M], votes.annotator_N[met.second_M]
    inside = np.isin(j_M, group) & np.isin(k_M, group)
    # every pair of votes twice: once for each of the two annotators
    own = np.concatenate([met.first_M[inside], met.second_M[inside]])
    other = np.concatenate([met.second_M[inside], met.first_M[inside]])
    key = np.searchsorted(group, votes.annotator_N[own])
    gain, expected = np.tile(met.gain_M[inside], 2), np.tile(met.expected_M[inside], 2)
    same = votes.vote_N[own] == votes.vote_N[other]
    sums = [np.bincount(key, values, len(group)).tolist() for values in (same, expected, np.ones(len(key)))]
    first = None if at_N is None else np.bincount(key, at_N[own] < at_N[other], len(group)).tolist()
    c_K = copied(gain, key, len(group), c0).c_K.tolist()
    members = group.tolist()
    return [
        Alike(
            annotator=one,
            others=tuple(other for other in members if other != one),
            agreed=int(sums[0][i]),
            met=int(sums[2][i]),
            expected=sums[1][i],
            copied=c_K[i],
            p_value=p_J[one],
            first=None if first is None else int(first[i]),
        )
        for i, one in enumerate(members)
    ]
