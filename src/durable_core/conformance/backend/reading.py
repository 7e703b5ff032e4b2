"""Reads: by execution, in pages, lists, and what is read behind the appends under way."""

from __future__ import annotations

import asyncio

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, numbers_of
from durable_core.contracts import ExecutionBackend

__all__ = ["ReadContract"]


class ReadContract(BackendContract):
    """Reads return committed rows, whole and in order."""

    async def _grow(self, backend: ExecutionBackend, rows: Rows, number: int, entries: int) -> None:
        await backend.journal.append(rows.start(number))
        for count in range(2, entries + 1):
            await backend.journal.append(rows.advance(count, number))

    async def test_an_empty_journal_has_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        nobody = rows.execution_id(9)
        assert await backend.max_seq() == 0
        assert await backend.load(nobody) is None
        assert await backend.find("checkout", "k") is None
        assert await backend.list_executions() == []
        assert await backend.heads([nobody]) == []
        assert await backend.heads([]) == []
        assert await backend.journal.read_execution(nobody) == []
        assert await backend.journal.read_execution_range(nobody, 0, 10) == []
        assert await backend.stored_seqs(nobody, 0, 10) == []
        assert await backend.running_owners() == []
        assert await backend.key_checks() == {}
        assert await backend.strays() == []
        assert await backend.read_inbox() == []

    async def test_ranges_are_pages_by_entry_no(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await self._grow(backend, rows, 1, 3)
        await self._grow(backend, rows, 2, 5)
        journal, two = backend.journal, rows.execution_id(2)
        pages = [await journal.read_execution_range(two, after, 2) for after in (0, 2, 4, 5)]
        assert [[entry.entry_no for entry in page] for page in pages] == [[1, 2], [3, 4], [5], []]
        assert [entry for page in pages for entry in page] == await journal.read_execution(two)
        seqs = await backend.stored_seqs(two, 0, 9)
        assert seqs == sorted(set(seqs))
        assert len(seqs) == 5
        assert await backend.stored_seqs(two, 1, 3) == seqs[1:4]
        assert await backend.max_seq() == seqs[-1]
        assert await journal.read_execution(rows.execution_id(9)) == []

    async def test_lists_filter_and_page_by_age(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, 4, 5))
        await backend.journal.append(rows.start(2, status="blocked", workflow="refund"))
        await rows.finish(backend, 3, "failed", 5)

        async def listed(**filters: object) -> list[int]:
            return numbers_of(await backend.list_executions(**filters))  # type: ignore[arg-type]  # of every type

        assert await listed() == [1, 2, 3, 4, 5]
        assert await listed(limit=2) == [1, 2]
        assert await listed(limit=2, after=rows.execution_id(2)) == [3, 4]
        assert await listed(statuses=["running"], after=rows.execution_id(1)) == [4, 5]
        assert await listed(statuses=["blocked", "running"]) == [1, 2, 4, 5]
        assert await listed(statuses=["running", "running"]) == [1, 4, 5]
        assert await listed(statuses=["failed", "running"], limit=2) == [1, 3]
        assert await listed(statuses=["failed"]) == [3]
        assert await listed(statuses=["completed"]) == []
        assert await listed(workflow="refund") == [2]
        assert await listed(workflow="refund", statuses=["running"]) == []
        assert await listed(workflow="checkout", statuses=["failed"]) == [3]
        assert await listed(workflow="checkout", after=rows.execution_id(3), limit=1) == [4]

    async def test_a_list_has_a_hundred_rows_unless_it_is_told(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(*range(1, 131)))
        assert numbers_of(await backend.list_executions()) == list(range(1, 101))
        rest = await backend.list_executions(after=rows.execution_id(100), limit=1000)
        assert numbers_of(rest) == list(range(101, 131))

    async def test_sealed_and_stamped_are_booleans(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, sealed=False))
        await backend.journal.append(rows.start(2, stamped=False, key_id=None))
        one, two = await backend.list_executions()
        assert (one.sealed, one.stamped, two.sealed, two.stamped) == (False, True, True, False)
        assert {type(flag) for row in (one, two) for flag in row[7:9]} == {bool}
        found = await backend.heads([two.execution_id, b"?" * 16, one.execution_id])
        assert sorted(found) == [one, two]

    async def test_heads_are_read_behind_appends_under_way(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        appending = asyncio.ensure_future(backend.journal.append(rows.start(1)))
        await asyncio.sleep(0)
        heads, largest = await asyncio.gather(
            backend.heads([rows.execution_id(1)]),
            backend.max_seq(),
        )
        assert heads == [rows.execution(1)]
        (seq,) = (await appending).seqs
        assert largest == seq

    async def test_the_heads_of_many(self, backend: ExecutionBackend, rows: Rows) -> None:
        numbers = range(1, 301)
        await backend.journal.append(rows.start(*numbers))
        asked = [rows.execution_id(number) for number in reversed(range(1, 601))]
        assert sorted(numbers_of(await backend.heads(asked))) == list(numbers)
