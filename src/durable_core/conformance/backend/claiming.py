"""Ownership: claims one by one and many at once, who owns what, and owners' locks."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.processes import started
from durable_core.conformance.rows import Rows, numbers_of
from durable_core.contracts import Claimable, ExecutionBackend, OwnerLoad
from durable_core.errors import JournalUnavailable
from durable_core.model.execution import ANYONE, NOBODY

__all__ = ["ClaimContract", "ClaimWaitingContract", "OwnerLockContract"]

EVERYTHING = Claimable(("owner-1", ANYONE, NOBODY), ("checkout", "refund"), (1, 2, 3))


class ClaimContract(BackendContract):
    """`claim` is one conditional update; `running_owners` says who owns what is running."""

    async def test_a_claim_raises_the_epoch_and_leaves_the_rest(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, 2))
        claimed = await backend.claim(rows.execution(1), "other", 5000)
        assert claimed == rows.execution(1, owner_id="other", owner_epoch=2, updated_at=5000)
        assert await backend.load(rows.execution_id(1)) == claimed
        assert await backend.load(rows.execution_id(2)) == rows.execution(2)

    @pytest.mark.parametrize(
        "changes",
        [{"owner_epoch": 2}, {"status": "blocked"}, {"execution_id": b"?" * 16}],
        ids=str,
    )
    async def test_a_claim_of_another_state_gets_nothing(
        self, backend: ExecutionBackend, rows: Rows, changes: dict[str, Any]
    ) -> None:
        await backend.journal.append(rows.start(1))
        assert await backend.claim(rows.execution(1, **changes), "other", 5000) is None
        assert await backend.load(rows.execution_id(1)) == rows.execution(1)

    async def test_a_claim_looks_at_epoch_and_status_alone(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, status="blocked"))
        expected = rows.execution(1, status="blocked", entry_count=7, owner_id="x", workflow="y")
        claimed = await backend.claim(expected, "other", 5000)
        assert claimed is not None
        assert (claimed.workflow, claimed.entry_count, claimed.status) == ("checkout", 1, "blocked")

    async def test_a_claim_for_the_owner_itself_raises_the_epoch_too(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        claimed = await backend.claim(rows.execution(1), "owner-1", 5000)
        assert claimed is not None
        assert (claimed.owner_id, claimed.owner_epoch) == ("owner-1", 2)

    async def test_running_owners_are_counted_by_workflow_and_key(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1, 2, 3))
        await backend.journal.append(rows.start(4, workflow="refund"))
        await backend.journal.append(rows.start(5, owner_id=ANYONE))
        await backend.journal.append(rows.start(6, owner_id=NOBODY))
        await backend.journal.append(rows.start(7, status="blocked", owner_id="blocked"))
        await backend.journal.append(rows.start(10, key_id=2))
        await rows.finish(backend, 8, "completed", 5)
        await rows.finish(backend, 9, "failed", 5)
        assert sorted(await backend.running_owners()) == [
            OwnerLoad(NOBODY, "checkout", 1, 1),
            OwnerLoad(ANYONE, "checkout", 1, 1),
            OwnerLoad("owner-1", "checkout", 1, 3),
            OwnerLoad("owner-1", "checkout", 2, 1),
            OwnerLoad("owner-1", "refund", 1, 1),
        ]
        await backend.claim(rows.execution(1), "other", 5000)
        await backend.journal.append(rows.advance(2, 2, status="failed", finalized_at=9))
        assert OwnerLoad("other", "checkout", 1, 1) in await backend.running_owners()
        assert OwnerLoad("owner-1", "checkout", 1, 1) in await backend.running_owners()


class ClaimWaitingContract(BackendContract):
    """`claim_waiting` claims what fits, the oldest first, and nothing twice."""

    async def _fill(self, backend: ExecutionBackend, rows: Rows) -> None:
        """1 to 4 run under owner-1; 5 anyone's; 6 nobody's; 7 has no key, 8 another; 9 refund."""
        await backend.journal.append(rows.start(4, 3, 2, 1))
        await backend.journal.append(rows.start(5, owner_id=ANYONE))
        await backend.journal.append(rows.start(6, owner_id=NOBODY))
        await backend.journal.append(rows.start(7, key_id=None, sealed=False, stamped=False))
        await backend.journal.append(rows.start(8, key_id=2))
        await backend.journal.append(rows.start(9, workflow="refund"))
        await backend.journal.append(rows.start(10, status="blocked"))
        await rows.finish(backend, 11, "failed", 5)
        await backend.journal.append(rows.start(12, owner_id="other"))

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ({"owners": ("owner-1",)}, [1, 2, 3, 4, 7, 8, 9]),
            ({"owners": (ANYONE, "other")}, [5, 12]),
            ({"owners": (NOBODY,)}, [6]),
            ({"owners": ("absent", "%", "_")}, []),
            ({"owners": ()}, []),
            ({"workflows": ("refund",)}, [9]),
            ({"workflows": ("checkout", "absent")}, [1, 2, 3, 4, 5, 6, 7, 8]),
            ({"workflows": ()}, []),
            ({"key_ids": (2,)}, [7, 8]),
            ({"key_ids": ()}, [7]),
            ({"key_ids": (3, 4)}, [7]),
            ({"passed": (1, 3, 9)}, [2, 4, 5, 6, 7, 8]),
            ({"owners": ("owner-1",), "key_ids": (1,), "passed": (2,)}, [1, 3, 4, 7, 9]),
        ],
        ids=str,
    )
    async def test_what_fits_is_claimed_and_nothing_else(
        self,
        backend: ExecutionBackend,
        rows: Rows,
        changes: dict[str, Any],
        expected: list[int],
    ) -> None:
        await self._fill(backend, rows)
        before = {row.execution_id: row for row in await backend.list_executions()}
        fields: dict[str, Any] = {
            "owners": EVERYTHING.owners,
            "workflows": EVERYTHING.workflows,
            "key_ids": EVERYTHING.key_ids,
            **changes,
        }
        fields["passed"] = tuple(rows.execution_id(number) for number in fields.get("passed", ()))
        claimed = await backend.claim_waiting(Claimable(**fields), "claimer", 7000, 100)
        assert numbers_of(claimed) == expected
        for row in claimed:
            before[row.execution_id] = before[row.execution_id]._replace(
                owner_id="claimer", owner_epoch=2, updated_at=7000
            )
            assert row == before[row.execution_id]
        assert await backend.list_executions() == list(before.values())

    async def test_the_oldest_come_first_and_no_more_than_asked_for(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(9, 3, 7, 1, 5))
        taken = [
            numbers_of(await backend.claim_waiting(EVERYTHING, "claimer", 7000, 2))
            for _ in range(4)
        ]
        assert taken == [[1, 3], [5, 7], [9], []]
        assert await backend.claim_waiting(EVERYTHING, "claimer", 7000, 0) == []

    async def test_a_stale_claim_after_it_gets_nothing(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        await backend.journal.append(rows.start(1))
        (row,) = await backend.claim_waiting(EVERYTHING, "claimer", 7000, 5)
        assert await backend.claim(rows.execution(1), "late", 8000) is None
        again = await backend.claim(row, "late", 8000)
        assert again == row._replace(owner_id="late", owner_epoch=3, updated_at=8000)
        stale = await backend.journal.append(rows.advance(2, 1, owner_epoch=2))
        assert stale.unmatched == {rows.execution_id(1)}

    async def test_many_owners_workflows_and_passed_ids(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """As many as a large installation has; odd names are names."""
        odd = ('a"b', "a'b", "a,b", "{a}", "[1]", "é", "null", "a\\b", "%")
        for number, name in enumerate(odd, start=1):
            await backend.journal.append(rows.start(number, workflow=name, owner_id=name))
        names = (*odd, *(f"name-{number}" for number in range(2000)))
        passed = tuple(rows.execution_id(number) for number in range(9, 3000))
        which = Claimable(names, names, tuple(range(1, 256)), passed)
        claimed = await backend.claim_waiting(which, "claimer", 7000, 1000)
        assert [row.workflow for row in claimed] == list(odd[:8])

    async def test_several_who_ask_at_once_share_what_there_is(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backends = [await harness.open() for _ in range(4)]
        await backends[0].journal.append(rows.start(*range(1, 61)))

        async def take(number: int) -> list[int]:
            mine: list[int] = []
            while True:
                got = await backends[number].claim_waiting(EVERYTHING, f"taker-{number}", 7000, 4)
                assert {row.owner_epoch for row in got} <= {2}
                assert len(got) <= 4
                assert got == sorted(got)
                mine += numbers_of(got)
                left = await backends[number].running_owners()
                if not any(load.owner_id == "owner-1" for load in left):
                    return mine

        async with asyncio.timeout(30):
            shares = await asyncio.gather(*(take(number) for number in range(4)))
        assert sorted(number for share in shares for number in share) == list(range(1, 61))
        for index, share in enumerate(shares):
            for number in share:
                row = await backends[0].load(rows.execution_id(number))
                assert row is not None
                assert (row.owner_id, row.owner_epoch) == (f"taker-{index}", 2)


class OwnerLockContract(BackendContract):
    """Who lives is who holds the lock; the system frees it when a process dies."""

    async def test_an_owner_lives_until_its_backend_closes(self, harness: BackendHarness) -> None:
        one, two = await harness.open(), await harness.open()
        assert not await two.owner_alive("first")
        await one.hold_owner_lock("first")
        assert await one.owner_alive("first")
        assert await two.owner_alive("first")
        assert not await two.owner_alive("second")
        await one.close()
        assert not await two.owner_alive("first")

    async def test_those_who_have_no_name_of_their_own_never_live(
        self, backend: ExecutionBackend
    ) -> None:
        assert not await backend.owner_alive(NOBODY)
        assert not await backend.owner_alive(ANYONE)

    async def test_many_who_ask_do_not_take_each_other_for_the_owner(
        self, harness: BackendHarness
    ) -> None:
        backends = [await harness.open() for _ in range(3)]
        for _ in range(20):
            answers = await asyncio.gather(
                *(backend.owner_alive("dead") for backend in backends for _ in range(3))
            )
            assert answers == [False] * 9
        await backends[0].hold_owner_lock("living")
        answers = await asyncio.gather(*(backend.owner_alive("living") for backend in backends))
        assert answers == [True] * 3

    async def test_ec_28_a_second_backend_of_one_process_is_another_owner(
        self, harness: BackendHarness
    ) -> None:
        one, two = await harness.open(), await harness.open()
        await one.hold_owner_lock("same")
        with pytest.raises(JournalUnavailable, match="held by"):
            await two.hold_owner_lock("same")
        assert await two.owner_alive("same")
        await two.close()
        assert await one.owner_alive("same")

    @pytest.mark.parametrize("job", ["own", "own-and-fork"])
    async def test_ec_28_sigkill_frees_an_owner_at_once(
        self, harness: BackendHarness, job: str
    ) -> None:
        """Also when a forked child of the owner lives on."""
        backend = await harness.open()
        async with started(harness, job, "first") as child:
            said = await child.line()
            assert await backend.owner_alive("first")
            await child.kill()
            if job == "own-and-fork":
                os.kill(int(said), 0)
            async with asyncio.timeout(50):
                while await backend.owner_alive("first"):
                    pass
            if job == "own-and-fork":
                os.kill(int(said), 0)

    async def test_ec_28_a_stopped_owner_is_alive(self, harness: BackendHarness) -> None:
        backend = await harness.open()
        async with started(harness, "own", "first") as child:
            assert await child.line() == "held"
            child.stop()
            assert await backend.owner_alive("first")
            await child.kill()
            async with asyncio.timeout(50):
                while await backend.owner_alive("first"):
                    pass
