"""The bounds of a writer hold their range, however they are set."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from durable_core import DurableConfig
from durable_core.errors import ConfigError
from durable_core.journal import WriterSettings

RANGES = [
    ("flush_interval_ms", 0, 3_600_000),
    ("prompt_interval_ms", 0, 3_600_000),
    ("ack_timeout_ms", 1, 3_600_000),
    ("queue_capacity", 1, 1_000_000),
    ("acked_capacity", 1, 1_000_000),
    ("batch_limit", 1, 10_000),
    ("close_timeout_ms", 0, 3_600_000),
]


def test_every_bound_has_a_range() -> None:
    assert [name for name, *_ in RANGES] == [each.name for each in attrs.fields(WriterSettings)]


@pytest.mark.parametrize(("name", "low", "high"), RANGES)
def test_a_bound_that_no_writer_can_keep_to_is_refused(name: str, low: int, high: int) -> None:
    for value in (low, high):
        kept: dict[str, Any] = {name: value}
        assert getattr(WriterSettings(**kept), name) == value
    for illegal in (low - 1, high + 1, True, float(high), str(high)):
        refused: dict[str, Any] = {name: illegal}
        with pytest.raises(ConfigError, match=f"'{name}'.*an integer from {low} to {high}"):
            WriterSettings(**refused)


def test_the_bounds_of_an_engine_are_those_of_its_writer() -> None:
    assert WriterSettings.of(DurableConfig()) == WriterSettings()
