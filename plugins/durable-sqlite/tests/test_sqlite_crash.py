"""`kill -9` at every named point of the backend: what is left is a whole prefix (EC-08, EC-30)."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import timeit
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.errors import ConfigError
from durable_core.failpoints import Failpoints

if TYPE_CHECKING:
    from conftest import Opener

EXECUTION = bytes(15) + b"\x01"


@pytest.mark.parametrize(
    ("failpoint", "acknowledged", "stored"),
    [
        ("backend.commit.before", 0, 0),
        ("backend.commit.before:3", 2, 2),
        ("backend.commit.inside", 0, 0),
        ("backend.commit.inside:4", 3, 3),
        ("backend.commit.after", 0, 1),
        ("backend.commit.after:5", 4, 5),
        ("backend.finalize.inside", 4, 4),
        ("nowhere", 5, 5),
    ],
)
async def test_ec_08_a_crash_leaves_a_contiguous_prefix(
    opener: Opener,
    child: Any,
    failpoint: str,
    acknowledged: int,
    stored: int,
) -> None:
    process = child("write", opener.url, failpoint=failpoint)
    out, err = await asyncio.to_thread(process.communicate)
    assert not err
    assert process.returncode == (0 if failpoint == "nowhere" else -signal.SIGKILL)
    assert out.split() == [str(count) for count in range(1, acknowledged + 1)]
    backend = await opener()
    entries = await backend.journal.read_execution(EXECUTION)
    assert [entry.entry_no for entry in entries] == list(range(1, stored + 1))
    head = await backend.load(EXECUTION)
    assert (head.entry_count if head else 0) == stored
    assert (head.status if head else "") == ("" if not head else _status(stored))
    assert (await backend.find("w", "k") is None) == (stored == 0)
    assert await backend.max_seq() == stored


def _status(stored: int) -> str:
    return "completed" if stored == 5 else "running"


@pytest.mark.parametrize("failpoint", ["backend.migrate.before", "backend.migrate.inside"])
async def test_ec_30_a_crash_while_migrating_leaves_nothing_half_made(
    opener: Opener,
    child: Any,
    failpoint: str,
) -> None:
    process = child("write", opener.url, failpoint=failpoint)
    out, err = await asyncio.to_thread(process.communicate)
    assert (out, err, process.returncode) == ("", "", -signal.SIGKILL)
    with closing(sqlite3.connect(opener.path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    backend = await opener()
    await backend.probe()
    assert await backend.list_executions() == []


@pytest.mark.parametrize("text", [":", "a:0", "a:-1", "a:b", "A b", "a:1:2"])
def test_a_misspelt_failpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="DURABLE_FAILPOINT"):
        Failpoints.from_environment({"DURABLE_FAILPOINT": text})


def test_points_that_are_not_armed_cost_next_to_nothing() -> None:
    for environment in ({}, {"DURABLE_FAILPOINT": ""}):
        points = Failpoints.from_environment(environment)
        best = min(timeit.repeat(lambda: points.reach("here"), number=10_000, repeat=5))  # noqa: B023
        assert best / 10_000 < 2e-6
