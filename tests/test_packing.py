"""Cutting a batch under a token budget: nothing lost, nothing twice, nothing over."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from accord.tree import cut

SIZES = st.lists(st.integers(1, 200), max_size=60)
BUDGETS = st.integers(1, 300)


def groups_of(sizes, budget):
    """Cuts numbered items, so that equal sizes are told apart."""
    return cut(list(enumerate(sizes)), lambda item: item[1], budget)


@given(SIZES, BUDGETS)
def test_every_item_appears_once(sizes, budget):
    found = Counter(item for group in groups_of(sizes, budget) for item in group)
    assert found == Counter(enumerate(sizes))


@given(SIZES, BUDGETS)
def test_a_group_fits_the_budget_or_is_one_item_that_does_not(sizes, budget):
    for group in groups_of(sizes, budget):
        assert group
        assert sum(size for _, size in group) <= budget or len(group) == 1


@given(SIZES, BUDGETS)
def test_no_two_groups_could_be_one(sizes, budget):
    """First fit: a later group's first item did not fit into any earlier one."""
    groups = groups_of(sizes, budget)
    used = [sum(size for _, size in group) for group in groups]
    for later, group in enumerate(groups):
        assert all(used[earlier] + group[0][1] > budget for earlier in range(later))


@given(SIZES, BUDGETS)
def test_the_cut_depends_on_sizes_and_their_order_alone(sizes, budget):
    assert groups_of(sizes, budget) == groups_of(list(sizes), budget)


def test_long_items_come_first_and_short_ones_fill_the_gaps():
    assert cut([2, 5, 7, 1, 5], lambda size: size, 8) == [[7, 1], [5, 2], [5]]
    assert cut([], len, 8) == []
    assert cut([9], lambda size: size, 8) == [[9]]
