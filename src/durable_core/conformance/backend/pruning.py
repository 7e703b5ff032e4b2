"""What has ended, counted and in order; `Journal.prune`: what is as it was goes, and goes whole."""

from __future__ import annotations

from attrs import evolve

from durable_core.conformance.harness import BackendContract
from durable_core.conformance.rows import Rows, numbers_of, written
from durable_core.contracts import CommitBatch, EndedRow, ExecutionBackend, Usage

__all__ = ["EndedContract", "PruneContract"]

ENDS = ("completed", "failed", "aborted", "cancelled")


def known(rows: list[EndedRow]) -> list[int]:
    """The numbers of these executions."""
    return [int.from_bytes(row.execution_id, "big") for row in rows]


class EndedContract(BackendContract):
    """What has ended comes in pages, the first to end first, with what it weighs."""

    async def test_what_has_ended_is_there_and_nothing_else(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, status="blocked"))
        await backend.journal.append(rows.start(2))
        for number, status in enumerate(ENDS, start=3):
            await rows.finish(backend, number, status, 10)
        ended = await backend.journal.ended(None, 9)
        assert [row.status for row in ended] == list(ENDS)
        assert ended[0] == EndedRow(
            rows.execution_id(3), "checkout", "3", "completed", 1, 10, 1, len(b"\x00\x00payload")
        )

    async def test_pages_are_in_the_order_of_the_ends(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """Of one moment by id, and with nothing left out between two pages."""
        for number, at in ((1, 30), (2, 10), (3, 20), (4, 10), (5, -7), (6, 10), (7, 20), (8, 0)):
            await rows.finish(backend, number, ENDS[number % 4], at)
        expected = [5, 8, 2, 4, 6, 3, 7, 1]
        assert known(await backend.journal.ended(None, 99)) == expected
        for size in (1, 2, 3, 8):
            found: list[EndedRow] = []
            while page := await backend.journal.ended(found[-1] if found else None, size):
                assert len(page) <= size
                found += page
            assert known(found) == expected
            back: list[EndedRow] = []
            while page := await backend.journal.ended(
                back[-1] if back else None, size, newest_first=True
            ):
                assert len(page) <= size
                back += page
            assert back == found[::-1]
        assert await backend.journal.ended(None, 0) == []

    async def test_a_row_that_has_gone_still_says_where_to_go_on(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        for number in (1, 2, 3):
            await rows.finish(backend, number, "failed", number)
        first = await backend.journal.ended(None, 2)
        await backend.journal.prune(first)
        assert known(await backend.journal.ended(first[-1], 2)) == [3]

    async def test_entries_and_their_bytes_are_counted(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        assert await backend.journal.open_usage() == Usage(0, 0, 0)
        await backend.journal.append(rows.start(1, 2))
        weights = ((None, None), (b"", b""), (b"12345", b"123"), (b"1" * 70_000, None))
        for count, (payload, detail) in enumerate(weights, start=2):
            entry = rows.entry(1, count, payload=payload, detail=detail)
            batch = CommitBatch((), (rows.change(1, count),), (entry,))
            assert written(await backend.journal.append(batch)) == [True]
        each, most = len(b"\x00\x00payload"), 5 + 3 + 70_000
        await backend.journal.append(rows.start(3, status="blocked"))
        assert await backend.journal.open_usage() == Usage(3, 7, 3 * each + most)
        end = rows.advance(6, 1, status="completed", finalized_at=5)
        await backend.journal.append(evolve(end, rows=()))
        (row,) = await backend.journal.ended(None, 9)
        assert (row.entries, row.payload_bytes) == (5, each + most)
        assert await backend.journal.open_usage() == Usage(2, 2, 2 * each)

    async def test_an_execution_without_entries_has_none(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        start = rows.start(1, status="aborted", finalized_at=5, entry_count=0)
        await backend.journal.append(evolve(start, rows=()))
        (row,) = await backend.journal.ended(None, 9)
        assert (row.entries, row.payload_bytes) == (0, 0)
        assert await backend.journal.prune([row]) == {rows.execution_id(1)}


class PruneContract(BackendContract):
    """An execution goes with all its rows or not at all, and only as it was looked at."""

    async def test_prune_deletes_what_it_is_given_and_whole(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        for number, status in enumerate(ENDS, start=2):
            await rows.finish(backend, number, status, 10)
        await backend.post_inbox(rows.request(2))
        largest = await backend.max_seq()
        ended = await backend.journal.ended(None, 9)
        gone = await backend.journal.prune([ended[0], ended[2]])
        assert gone == {rows.execution_id(2), rows.execution_id(4)}
        assert numbers_of(await backend.list_executions()) == [1, 3, 5]
        assert await backend.find("checkout", "2") is None
        assert await backend.find("checkout", "3") == rows.execution_id(3)
        assert await backend.read_inbox() == []
        assert await backend.journal.read_execution(rows.execution_id(2)) == []
        assert len(await backend.journal.read_execution(rows.execution_id(3))) == 1
        assert await backend.strays() == []
        assert await backend.max_seq() >= largest
        again = await backend.journal.append(rows.start(8, execution_key="2"))
        assert written(again) == [True]
        assert again.seqs[0] is not None
        assert again.seqs[0] > largest

    async def test_what_has_changed_stays_and_the_rest_goes(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        for number in (1, 2, 3, 4):
            await rows.finish(backend, number, "failed", 10)
        one, two, three, other = await backend.journal.ended(None, 9)
        earlier = (
            one._replace(status="completed"),
            two._replace(owner_epoch=2),
            three._replace(finalized_at=11),
        )
        assert await backend.journal.prune([*earlier, other]) == {other.execution_id}
        assert known(await backend.journal.ended(None, 9)) == [1, 2, 3]
        for number in (1, 2, 3):
            assert len(await backend.journal.read_execution(rows.execution_id(number))) == 1
            assert await backend.find("checkout", str(number)) == rows.execution_id(number)
        assert await backend.strays() == []

    async def test_what_runs_again_stays(self, backend: ExecutionBackend, rows: Rows) -> None:
        await rows.finish(backend, 1, "failed", 10)
        ended = await backend.journal.ended(None, 9)
        change = rows.change(1, 2, expected_status="failed", generation=1)
        entry = rows.entry(1, 2, generation=1)
        await backend.journal.append(CommitBatch((), (change,), (entry,)))
        assert await backend.journal.prune(ended) == frozenset()
        assert len(await backend.journal.read_execution(rows.execution_id(1))) == 2

    async def test_nothing_goes_twice_and_nothing_is_no_error(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await rows.finish(backend, 1, "completed", 10)
        ended = await backend.journal.ended(None, 9)
        assert await backend.journal.prune([]) == frozenset()
        assert await backend.journal.prune(ended) == {rows.execution_id(1)}
        assert await backend.journal.prune(ended) == frozenset()

    async def test_promises_and_timers_go_with_their_execution(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        ended = rows.start(1, status="completed", finalized_at=5)
        for number, start in ((1, ended), (2, rows.start(2))):
            promises, timers = (rows.promise(number, number),), (rows.timer(number),)
            await backend.journal.append(evolve(start, promises=promises, timers=timers))
        await backend.journal.prune(await backend.journal.ended(None, 9))
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
        await backend.journal.prune(await backend.journal.ended(None, 9))
        assert await backend.max_seq() == outcome.seqs[0]
        (seq,) = (await backend.journal.append(rows.advance(2, 1))).seqs
        assert seq is not None
        assert outcome.seqs[0] is not None
        assert seq > outcome.seqs[0]

    async def test_many_go_at_once(self, backend: ExecutionBackend, rows: Rows) -> None:
        """With keys and without, and what is left keeps its own."""
        await backend.journal.append(rows.start(*range(1, 281), status="failed", finalized_at=5))
        for number in range(281, 301):
            await rows.finish(backend, number, "completed", 6)
        ended = await backend.journal.ended(None, 295)
        assert len(await backend.journal.prune(ended)) == 295
        assert numbers_of(await backend.list_executions()) == [296, 297, 298, 299, 300]
        assert await backend.find("checkout", "300") == rows.execution_id(300)
        assert [row.entries for row in await backend.journal.ended(None, 9)] == [1] * 5
        assert await backend.strays() == []

    async def test_space_is_given_back_to_the_last_piece(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """In pieces, in the end there is no more, and nothing of what is left is harmed."""
        large = b"1" * 100_000
        for number in range(1, 41):
            start = rows.start(number, status="completed", finalized_at=5)
            entries = tuple(entry._replace(payload=large) for entry in start.rows)
            await backend.journal.append(evolve(start, rows=entries))
        ended = await backend.journal.ended(None, 39)
        await backend.journal.prune(ended)
        pieces = 0
        while await backend.journal.reclaim():
            pieces += 1
            assert pieces < 1000
        assert not await backend.journal.reclaim()
        (entry,) = await backend.journal.read_execution(rows.execution_id(40))
        assert entry.payload == large
        assert written(await backend.journal.append(rows.start(41))) == [True]
