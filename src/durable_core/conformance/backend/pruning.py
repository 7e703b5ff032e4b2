"""`Journal.prune`: what is old and has ended goes, whole, oldest first."""

from __future__ import annotations

from attrs import evolve

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, numbers_of, written
from durable_core.contracts import ExecutionBackend, PruneReport

__all__ = ["PruneContract"]


class PruneContract(BackendContract):
    """An execution goes with all its rows or not at all."""

    async def test_prune_deletes_what_is_old_and_whole(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        await rows.finish(backend, 2, "completed", 100)
        await rows.finish(backend, 3, "completed", 101)
        await rows.finish(backend, 4, "failed", 50)
        await rows.finish(backend, 5, "cancelled", 49)
        await rows.finish(backend, 6, "aborted", 48)
        await backend.journal.append(rows.start(7, status="blocked"))
        await backend.post_inbox(rows.request(2))
        largest = await backend.max_seq()
        report = await backend.journal.prune(completed_before=101, failed_before=50, limit=10)
        assert report == PruneReport(executions=3, entries=3)
        assert numbers_of(await backend.list_executions()) == [1, 3, 4, 7]
        assert await backend.find("checkout", "2") is None
        assert await backend.find("checkout", "3") == rows.execution_id(3)
        assert await backend.read_inbox() == []
        assert await backend.journal.read_execution(rows.execution_id(2)) == []
        assert await backend.strays() == []
        assert await backend.max_seq() >= largest
        again = await backend.journal.append(rows.start(8, execution_key="2"))
        assert written(again) == [True]
        assert again.seqs[0] is not None
        assert again.seqs[0] > largest

    async def test_promises_and_timers_go_with_their_execution(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        ended = rows.start(1, status="completed", finalized_at=5)
        for number, start in ((1, ended), (2, rows.start(2))):
            promises, timers = (rows.promise(number, number),), (rows.timer(number),)
            await backend.journal.append(evolve(start, promises=promises, timers=timers))
        await backend.journal.prune(completed_before=9, failed_before=9, limit=9)
        gone, left = rows.execution_id(1), rows.execution_id(2)
        assert await backend.promises_of(gone) == []
        assert await backend.timers_of(gone) == []
        assert await backend.find_promise(rows.promise(1, 1).promise_id) is None
        assert await backend.promises_of(left) == [rows.promise(2, 2)]
        assert await backend.timers_of(left) == [rows.timer(2)]
        assert await backend.strays() == []

    async def test_max_seq_never_falls(self, backend: ExecutionBackend, rows: Rows) -> None:
        """The newest execution goes; its numbers are not given away a second time."""
        await backend.journal.append(rows.start(1))
        outcome = await rows.finish(backend, 2, "completed", 10)
        await backend.journal.prune(completed_before=99, failed_before=99, limit=9)
        assert await backend.max_seq() == outcome.seqs[0]
        (seq,) = (await backend.journal.append(rows.advance(2, 1))).seqs
        assert seq is not None
        assert outcome.seqs[0] is not None
        assert seq > outcome.seqs[0]

    async def test_prune_keeps_to_its_limit_and_takes_the_oldest(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        for number, at in ((1, 30), (2, 10), (3, 20), (4, 5)):
            await rows.finish(backend, number, "failed" if number == 4 else "completed", at)
        reports = [
            await backend.journal.prune(completed_before=99, failed_before=99, limit=2)
            for _ in range(3)
        ]
        assert [report.executions for report in reports] == [2, 2, 0]
        await rows.finish(backend, 5, "completed", 30)
        await rows.finish(backend, 6, "completed", 20)
        await backend.journal.prune(completed_before=99, failed_before=99, limit=1)
        assert [row.finalized_at for row in await backend.list_executions()] == [30]

    async def test_the_two_ages_are_two(self, backend: ExecutionBackend, rows: Rows) -> None:
        for number, status in enumerate(("completed", "failed", "aborted", "cancelled"), start=1):
            await rows.finish(backend, number, status, 10)
        await backend.journal.prune(completed_before=99, failed_before=0, limit=99)
        assert numbers_of(await backend.list_executions()) == [2, 3, 4]
        await backend.journal.prune(completed_before=0, failed_before=99, limit=99)
        assert await backend.list_executions() == []

    async def test_all_entries_are_counted(self, backend: ExecutionBackend, rows: Rows) -> None:
        await backend.journal.append(rows.start(1, 2))
        for count in range(2, 8):
            await backend.journal.append(rows.advance(count, 1, 2))
        await backend.journal.append(rows.advance(8, 1, status="completed", finalized_at=5))
        report = await backend.journal.prune(completed_before=9, failed_before=9, limit=9)
        assert report == PruneReport(executions=1, entries=8)
        assert len(await backend.journal.read_execution(rows.execution_id(2))) == 7

    async def test_many_go_at_once(self, backend: ExecutionBackend, rows: Rows) -> None:
        ended = {"status": "completed", "finalized_at": 5}
        await backend.journal.append(rows.start(*range(1, 301), **ended))
        report = await backend.journal.prune(completed_before=9, failed_before=9, limit=250)
        assert report == PruneReport(executions=250, entries=250)
        assert len(await backend.list_executions()) == 50
