"""Requests that come at about the same time are worked on together, and each hears of its own."""

import asyncio
import threading

import pytest

from accord.web.together import MOST, Together
from conftest import run_apart


def test_what_comes_meanwhile_is_the_next_turn_and_comes_in_order():
    turns, first = [], threading.Event()

    def work(brought):
        turns.append(list(brought))
        first.wait(10)
        return [10 * one for one in brought]

    async def story():
        together = Together(work)
        tasks = [asyncio.create_task(together.do(0))]
        while not turns:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(together.do(n)) for n in range(1, MOST + 3)]
        await asyncio.sleep(0.01)
        first.set()
        return await asyncio.gather(*tasks)

    assert run_apart(story()) == [10 * n for n in range(MOST + 3)]
    assert turns == [[0], list(range(1, MOST + 1)), [MOST + 1, MOST + 2]]


def test_each_hears_what_went_wrong_with_its_own_and_all_if_nothing_went_right():
    def work(brought):
        if "the end" in brought:
            raise OSError("no disk")
        return [ValueError(one) if one == "bad" else one for one in brought]

    async def outcomes(*brought):
        together = Together(work)
        return await asyncio.gather(*(together.do(one) for one in brought), return_exceptions=True)

    first, bad, last = run_apart(outcomes("first", "bad", "last"))
    assert (first, last) == ("first", "last")
    assert isinstance(bad, ValueError)
    assert any(isinstance(one, OSError) for one in run_apart(outcomes("one", "the end")))


def test_who_goes_away_stops_nobody():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(brought):
        begun.set()
        go_on.wait(10)
        done.extend(brought)
        return brought

    async def story():
        together = Together(work)
        gone = asyncio.create_task(together.do("gone"))
        await asyncio.to_thread(begun.wait, 10)
        stays = asyncio.create_task(together.do("stays"))
        await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        go_on.set()
        return await stays

    assert run_apart(story()) == "stays"
    assert done == ["gone", "stays"]
