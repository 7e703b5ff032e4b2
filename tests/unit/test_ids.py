"""Ids of executions sort as they were made, also within a millisecond."""

from __future__ import annotations

import uuid
from itertools import pairwise

from attrs import define

from durable_core.ids import RandomIds

NOW = 1_800_000_000_123


@define
class Stopped:
    """A clock that shows what it is set to."""

    now: int = NOW

    def now_ms(self) -> int:
        return self.now


def test_ids_of_one_millisecond_sort_as_they_were_made() -> None:
    clock = Stopped()
    source = RandomIds(clock)
    made = [source.execution_id() for _ in range(10_000)]
    assert all(first < second for first, second in pairwise(made))
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert {each.int >> 80 for each in made} == {NOW}
    clock.now += 1
    assert source.execution_id() > made[-1]


def test_sources_of_one_millisecond_are_apart() -> None:
    made = {RandomIds(Stopped()).execution_id().int & (1 << 62) - 1 for _ in range(1000)}
    assert len(made) == 1000


def test_a_clock_that_goes_back_makes_other_ids() -> None:
    clock = Stopped()
    source = RandomIds(clock)
    first = source.execution_id()
    clock.now -= 1000
    second = source.execution_id()
    assert second.int >> 80 == NOW - 1000
    assert second.int & (1 << 62) - 1 != first.int & (1 << 62) - 1
