"""`kill -9` at every named point of a commit, and at any moment: a whole prefix is left (EC-08)."""

from __future__ import annotations

import pytest

from durable_core.conformance.child import ENTRIES, PRUNED, WORKFLOW_KEY
from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.processes import started
from durable_core.conformance.rows import Rows, written

__all__ = ["CrashContract"]


class CrashContract(BackendContract):
    """What was acknowledged is there, and what is there has no gap."""

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
        self,
        harness: BackendHarness,
        rows: Rows,
        failpoint: str,
        acknowledged: int,
        stored: int,
    ) -> None:
        async with started(harness, "write", failpoint=failpoint) as child:
            assert await child.end() == [str(count) for count in range(1, acknowledged + 1)]
            assert child.killed == (failpoint != "nowhere")
        backend = await harness.open()
        one = rows.execution_id(1)
        entries = await backend.journal.read_execution(one)
        assert [entry.entry_no for entry in entries] == list(range(1, stored + 1))
        head = await backend.load(one)
        assert (head.entry_count if head else 0) == stored
        ended = "completed" if stored == ENTRIES else "running"
        assert head is None or head.status == ended
        assert (await backend.find("checkout", WORKFLOW_KEY) is None) == (stored == 0)
        seqs = await backend.stored_seqs(one, 0, 9)
        assert await backend.max_seq() >= max(seqs, default=0)
        assert await backend.strays() == []

    @pytest.mark.parametrize("acknowledged", [1, 7, 30])
    async def test_ec_08_a_kill_at_any_moment_loses_nothing_that_was_acknowledged(
        self, harness: BackendHarness, rows: Rows, acknowledged: int
    ) -> None:
        async with started(harness, "write-on") as child:
            while await child.line() != str(acknowledged):
                pass
            await child.kill()
            said = [int(line) for line in (await child.rest()).split()]
        told = max((*said, acknowledged))
        backend = await harness.open()
        heads = await backend.list_executions()
        counts = {head.entry_count for head in heads}
        assert len(heads) == 3
        assert len(counts) == 1, "a batch is there whole or not at all"
        assert counts <= {told, told + 1}
        (count,) = counts
        for number in (1, 2, 3):
            entries = await backend.journal.read_execution(rows.execution_id(number))
            assert [entry.entry_no for entry in entries] == list(range(1, count + 1))
        assert written(await backend.journal.append(rows.advance(count + 1, 1, 2, 3))) == [True] * 3

    @pytest.mark.parametrize("times", [1, 6, 25])
    async def test_a_kill_while_it_prunes_leaves_no_halves(
        self, harness: BackendHarness, rows: Rows, times: int
    ) -> None:
        async with started(harness, "prune-on") as child:
            while await child.line() != str(times):
                pass
            await child.kill()
            said = [int(line) for line in (await child.rest()).split()]
        told = max((*said, times))
        backend = await harness.open()
        left = await backend.list_executions(limit=PRUNED)
        assert PRUNED - len(left) in {2 * told, 2 * told + 2}
        for row in left:
            assert len(await backend.journal.read_execution(row.execution_id)) == 1
        assert await backend.strays() == []
        await backend.journal.prune(await backend.journal.ended(None, PRUNED))
        assert await backend.list_executions() == []
        assert written(await backend.journal.append(rows.start(1))) == [True]
