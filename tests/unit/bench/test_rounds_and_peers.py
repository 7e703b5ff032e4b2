"""The bench: who is sampled when, what is checked, and that a peer may be missing."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bench.peer_engines import PeerEngine
from bench.peers import Unavailable, installed, running
from bench.references import Reference
from bench.restate_server import restate_server
from bench.rounds import Paired, in_rounds
from bench.workload import SUM, seconds

ANSWERS_TWICE = """
print("1.0 FULL", flush=True)
print(2.0 * bool(input()), flush=True)
print(4.0 * bool(input()), flush=True)
"""


async def test_the_order_changes_and_the_first_round_is_not_counted() -> None:
    asked: list[str] = []

    async def sample(name: str) -> float:
        asked.append(name)
        return float(len(asked))

    taken = await in_rounds(2, [lambda: sample("a"), lambda: sample("b"), lambda: sample("c")])
    assert "".join(asked) == "abc" + "cba" + "abc"
    assert taken == [(6.0, 7.0), (5.0, 8.0), (4.0, 9.0)]


@pytest.mark.parametrize("at_once", [1, 3])
async def test_so_many_workflows_run_at_a_time(at_once: int) -> None:
    running_now = most = count = 0

    async def five(_: int) -> int:
        nonlocal running_now, most, count
        running_now += 1
        most, count = max(most, running_now), count + 1
        await asyncio.sleep(0)
        running_now -= 1
        return SUM

    assert await seconds(five, at_once, 10) >= 0
    assert (most, count) == (at_once, 10)


async def test_a_wrong_result_stops_the_measurement() -> None:
    async def five(_: int) -> int:
        return SUM + 1

    with pytest.raises(AssertionError, match="result is wrong"):
        await seconds(five, 2, 4)


async def test_a_peer_is_measured_until_it_ends_and_is_lost_then() -> None:
    async with running(sys.executable, "-c", ANSWERS_TWICE) as peer:
        reference = Reference("Other", PeerEngine("Other", "1.0", "FULL", peer)).one_by_one(100)
        assert [await reference.rate(), await reference.rate()] == [250.0, 125.0]
        beside = reference.figure("NFR-0", "steps", 8.0, Paired((2000.0,), (250.0,)), "FULL")
        assert (beside.value, beside.met, beside.against) == (8.0, True, "Other 1.0")
        assert math.isnan(await reference.rate())
        alone = reference.figure("NFR-0", "steps", 8.0, Paired((2000.0,), (math.nan,)), "FULL")
    assert (alone.value, alone.reference, alone.bar, alone.against) == (2000.0, None, None, "")
    assert "no ratio to Other: the program ended" in alone.note


async def test_a_peer_that_cannot_be_installed_leaves_the_others() -> None:
    with pytest.raises(Unavailable, match=r"other==1 could not be installed \(no such thing\)"):
        installed("other==1", sys.executable, "-c", "import sys; sys.exit('no such thing')")
    with pytest.raises(Unavailable, match=r"other==1 .* \(FileNotFoundError\)"):
        installed("other==1", "/nowhere/npm")


async def test_a_server_that_ends_at_once_is_unavailable(tmp_path: Path) -> None:
    program = tmp_path / "restate-server"
    program.write_text("#!/bin/sh\necho address in use\nexit 3\n")
    program.chmod(0o755)
    async with AsyncExitStack() as stack:
        with pytest.raises(Unavailable, match=r"ended.*\(address in use\)"):
            await stack.enter_async_context(restate_server(program, tmp_path))
