"""Many at once: claimers, starters of one key, requests, pruning against resuming, readers."""

from __future__ import annotations

import asyncio

import pytest

from durable_core.conformance.child import WORKFLOW_KEY
from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.processes import started
from durable_core.conformance.rows import Rows
from durable_core.contracts import CommitBatch, EndedRow, ExecutionBackend
from durable_core.errors import EntryRejected, TransientStoreError

__all__ = ["ConcurrencyContract"]


class ConcurrencyContract(BackendContract):
    """Whatever happens at one moment has one winner, and nobody sees the half of it."""

    async def test_of_many_claimers_one_wins(self, harness: BackendHarness, rows: Rows) -> None:
        backends = [await harness.open() for _ in range(3)]
        await backends[0].journal.append(rows.start(1))
        expected = rows.execution(1)
        won = await asyncio.gather(
            *(
                backend.claim(expected, f"owner-{n}-{m}", 5000)
                for n, backend in enumerate(backends)
                for m in range(5)
            ),
        )
        (winner,) = [row for row in won if row is not None]
        assert winner == expected._replace(owner_id=winner.owner_id, owner_epoch=2, updated_at=5000)
        assert await backends[1].load(rows.execution_id(1)) == winner

    async def test_of_many_claiming_processes_one_wins_each(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backend = await harness.open()
        await backend.journal.append(rows.start(*range(1, 21)))
        async with (
            started(harness, "claim", "one") as one,
            started(harness, "claim", "two") as two,
        ):
            for child in (one, two):
                assert await child.line() == "ready"
            for child in (one, two):
                child.go()
            won = {"one": await one.end(), "two": await two.end()}
        owners = {
            str(int.from_bytes(row.execution_id, "big")): row.owner_id
            for row in await backend.list_executions()
        }
        assert {number: name for name, share in won.items() for number in share} == owners
        assert len(won["one"]) + len(won["two"]) == 20

    async def test_ec_29_an_append_is_before_a_claim_or_fenced_by_it(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        """The new owner has seen every entry that the old one was told of, and none comes later."""
        old, new = await harness.open(), await harness.open()
        numbers = range(1, 41)
        await old.journal.append(rows.start(*numbers))
        for number in numbers:
            appending = asyncio.ensure_future(old.journal.append(rows.advance(2, number)))
            if number % 2:
                await asyncio.sleep(0)
            claimed, outcome = await asyncio.gather(
                new.claim(rows.execution(number), "new", 5000), appending
            )
            assert claimed is not None
            lost = bool(outcome.unmatched)
            assert claimed.entry_count == (1 if lost else 2)
            stored = await new.journal.read_execution(rows.execution_id(number))
            assert len(stored) == claimed.entry_count
        late = await old.journal.append(rows.advance(2, *numbers))
        assert len(late.unmatched) == len(numbers)

    async def test_ec_31_one_key_from_many_connections(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backends = [await harness.open() for _ in range(4)]

        async def start(index: int, number: int) -> bytes:
            batch = rows.start(number, execution_key=f"order-{number % 10}")
            while True:
                try:
                    outcome = await backends[index].journal.append(batch)
                except TransientStoreError:
                    continue
                return outcome.taken.get(rows.execution_id(number), rows.execution_id(number))

        async def start_all(index: int) -> list[bytes]:
            return [await start(index, 100 * index + number) for number in range(10)]

        async with asyncio.timeout(30):
            found = await asyncio.gather(*(start_all(index) for index in range(4)))
        assert [len(set(same)) for same in zip(*found, strict=True)] == [1] * 10
        assert len(await backends[0].list_executions()) == 10
        assert await backends[0].strays() == []

    async def test_ec_31_one_key_from_many_processes(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backend = await harness.open()
        async with (
            started(harness, "start", "100") as one,
            started(harness, "start", "200") as two,
        ):
            for child in (one, two):
                assert await child.line() == "ready"
            for child in (one, two):
                child.go()
            said = {*await one.end(), *await two.end()}
        (row,) = await backend.list_executions()
        assert said == {str(int.from_bytes(row.execution_id, "big"))}
        assert await backend.find("checkout", WORKFLOW_KEY) == row.execution_id
        assert await backend.journal.read_execution(row.execution_id) == [
            rows.entry(int(said.pop()), 1, entry_kind=1)
        ]

    async def test_the_first_request_for_a_slot_wins(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backends = [await harness.open() for _ in range(3)]
        await backends[0].journal.append(rows.start(1))
        posts = [rows.request(1, payload=bytes([number])) for number in range(9)]
        filed = await asyncio.gather(
            *(backends[number % 3].post_inbox(post) for number, post in enumerate(posts)),
        )
        assert filed.count(True) == 1
        assert await backends[2].read_inbox() == [posts[filed.index(True)]]

    async def test_of_two_checks_for_one_key_id_the_first_stays(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        """Nothing of the other key is written, neither with the first batch nor with a later."""
        first, second = await harness.open(), await harness.open()
        first.announce_key(7, b"first")
        second.announce_key(7, b"second")
        await first.journal.append(rows.start(1))
        request = rows.request(1, "settle:1", payload=b"sealed")
        for _ in range(2):
            with pytest.raises(EntryRejected, match="key id 7 has been used"):
                await second.journal.append(rows.start(2))
            with pytest.raises(EntryRejected, match="key id 7 has been used"):
                await second.post_inbox(request)
        assert await first.key_checks() == {7: b"first"}
        assert await first.list_executions() == [rows.execution(1)]
        assert await first.read_inbox() == []

    async def test_ec_32_prune_against_resume_leaves_no_halves(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backend, other = await harness.open(), await harness.open()
        numbers = range(1, 41)
        for number in numbers:
            await rows.finish(backend, number, "failed", 10)

        async def resume(number: int) -> bool:
            change = rows.change(number, 2, expected_status="failed", generation=1)
            batch = CommitBatch((), (change,), (rows.entry(number, 2, generation=1),))
            while True:
                try:
                    return not (await other.journal.append(batch)).unmatched
                except TransientStoreError:
                    continue

        async def prune_some() -> int:
            gone = 0
            while chosen := await backend.journal.ended(None, 4):
                try:
                    gone += len(await backend.journal.prune(chosen))
                except TransientStoreError:
                    continue
            return gone

        pruning = asyncio.ensure_future(prune_some())
        resumed = [await resume(number) for number in reversed(numbers)]
        assert await pruning + sum(resumed) == len(numbers)
        for number, won in zip(reversed(numbers), resumed, strict=True):
            entries = await backend.journal.read_execution(rows.execution_id(number))
            key = await backend.find("checkout", str(number))
            assert len(entries) == (2 if won else 0)
            assert (key is not None) == won
        assert await backend.strays() == []

    async def test_two_that_prune_the_same_delete_each_once(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        one, two = await harness.open(), await harness.open()
        await one.journal.append(rows.start(*range(1, 101), status="failed", finalized_at=5))
        ended = await one.journal.ended(None, 100)

        async def prune_by(backend: ExecutionBackend, chosen: list[EndedRow]) -> list[bytes]:
            gone: list[bytes] = []
            for at in range(0, len(chosen), 10):
                while True:
                    try:
                        gone += await backend.journal.prune(chosen[at : at + 10])
                    except TransientStoreError:
                        continue
                    break
            return gone

        both = await asyncio.gather(prune_by(one, ended), prune_by(two, ended))
        left = {row.execution_id for row in await one.list_executions()}
        gone = [*both[0], *both[1]]
        assert len(gone) == len(set(gone)) == 100 - len(left)
        await prune_by(one, ended)  # what one of them passed over, since the other was at it
        assert await two.list_executions() == []
        assert await one.strays() == []

    async def test_ec_32_of_two_ends_one_is_written(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        """Finalize against cancel, from two connections, in many rounds."""
        one, two = await harness.open(), await harness.open()
        numbers = range(1, 31)
        await one.journal.append(rows.start(*numbers))
        for number in numbers:
            ends = [
                backend.journal.finalize(
                    rows.change(number, 2, status=status, finalized_at=9),
                    rows.entry(number, 2, entry_kind=10, payload=status.encode()),
                )
                for backend, status in ((one, "completed"), (two, "cancelled"))
            ]
            done, cancelled = await asyncio.gather(*ends)
            assert (done is None) != (cancelled is None)
            row = await one.load(rows.execution_id(number))
            assert row is not None
            assert row.status == ("completed" if done is not None else "cancelled")
            last = (await two.journal.read_execution(rows.execution_id(number)))[-1]
            assert last.payload == row.status.encode()

    async def test_readers_never_see_the_half_of_a_batch(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        reader = await harness.open()
        await backend.journal.append(rows.start(1, 2))
        ended = asyncio.Event()

        async def read() -> int:
            seen = 0
            while not ended.is_set():
                one, two = await reader.list_executions()
                assert one.entry_count == two.entry_count
                stored = await reader.journal.read_execution(rows.execution_id(2))
                assert [row.entry_no for row in stored] == list(range(1, len(stored) + 1))
                assert len(stored) >= two.entry_count
                seen += 1
            return seen

        reading = asyncio.ensure_future(read())
        for count in range(2, 60):
            await backend.journal.append(rows.advance(count, 1, 2))
        ended.set()
        assert await reading > 0
