"""Rows that are right unless a test says otherwise, of executions that are known by a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import evolve, frozen

from durable_core.contracts import (
    BatchOutcome,
    CommitBatch,
    ExecutionBackend,
    Fold,
    FoldedRange,
    HeadChange,
    InboxRow,
    PromiseRow,
    TimerRow,
)
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["Rows", "numbers_of", "written"]


@frozen
class Rows:
    """Makes the rows of executions by number: execution 1 has the id 00…01.

    Every method takes the fields that shall be other than usual. The bytes are no real seals: a
    backend looks into none of them.
    """

    owner: str = "owner-1"

    def execution_id(self, number: int) -> bytes:
        """The 16 bytes of the id of that execution."""
        return number.to_bytes(16, "big")

    def execution(self, number: int, **changes: Any) -> ExecutionRow:
        """A running execution with one entry."""
        row = ExecutionRow(
            execution_id=self.execution_id(number),
            workflow="checkout",
            execution_key=None,
            kind="workflow",
            status="running",
            generation=0,
            key_id=1,
            sealed=True,
            stamped=True,
            owner_id=self.owner,
            owner_epoch=1,
            entry_count=1,
            head_hmac=b"h" * 32,
            anchor_mac=b"a" * 32,
            created_at=1000,
            updated_at=1000,
            finalized_at=None,
        )
        return row._replace(**changes)

    def entry(self, number: int, entry_no: int, **changes: Any) -> JournalRow:
        """An entry: the result of a step of its own."""
        row = JournalRow(
            execution_id=self.execution_id(number),
            entry_no=entry_no,
            generation=0,
            step_id=str(entry_no),
            entry_kind=EntryKind.STEP_RESULT,
            fingerprint=b"f" * 32,
            idem_key=b"i" * 32,
            effect_class=1,
            detail=None,
            payload=b"\x00\x00payload",
            payload_version=1,
            hmac=b"m" * 32,
            created_at=1000,
        )
        return row._replace(**changes)

    def change(self, number: int, count: int, **changes: Any) -> HeadChange:
        """From `count - 1` entries to `count`."""
        change = HeadChange(
            execution_id=self.execution_id(number),
            owner_epoch=1,
            expected_status="running",
            expected_count=count - 1,
            status="running",
            generation=0,
            entry_count=count,
            head_hmac=b"H" * 32,
            anchor_mac=b"A" * 32,
            updated_at=2000,
            finalized_at=None,
        )
        return change._replace(**changes)

    def start(self, *numbers: int, **changes: Any) -> CommitBatch:
        """The start of each execution, with its first entry; `changes` are those of all rows."""
        return CommitBatch(
            tuple(self.execution(number, **changes) for number in numbers),
            (),
            tuple(
                self.entry(number, 1, entry_kind=EntryKind.EXECUTION_STARTED) for number in numbers
            ),
        )

    def advance(self, count: int, *numbers: int, **changes: Any) -> CommitBatch:
        """Entry `count` of each execution."""
        return CommitBatch(
            (),
            tuple(self.change(number, count, **changes) for number in numbers),
            tuple(self.entry(number, count) for number in numbers),
        )

    def fold(
        self,
        *ranges: Sequence[JournalRow],
        checkpoint: Mapping[str, Any] = MappingProxyType({}),
        **changes: Any,
    ) -> Fold:
        """The fold of these entries; `checkpoint` is what is unusual in what stands for them."""
        usual = {"entry_kind": EntryKind.CHECKPOINT, "payload": b"\x00part", "step_id": ""}
        made = [
            FoldedRange(
                tuple((entry.entry_no, entry.hmac) for entry in entries),
                entries[-1]._replace(**{**usual, "hmac": b"c" * 32, **checkpoint}),
            )
            for entries in ranges
        ]
        fold = Fold(ranges[0][0].execution_id, 1, "running", tuple(made))
        return evolve(fold, **changes)

    def request(self, number: int, slot: str = "cancel", **changes: Any) -> InboxRow:
        """A request for that execution."""
        kind = slot.partition(":")[0]
        return InboxRow(self.execution_id(number), slot, kind, None, 1000)._replace(**changes)

    def promise(self, number: int, promise: int, **changes: Any) -> PromiseRow:
        """A promise of that execution, known by a number as well."""
        own = PromiseRow(
            promise_id=promise.to_bytes(16, "big"),
            execution_id=self.execution_id(number),
            name="approval",
            token_hash=b"t" * 32,
            outcome=None,
            created_at=1000,
        )
        return own._replace(**changes)

    def timer(self, number: int, timer_id: str = "0", due_at: int = 5000) -> TimerRow:
        """A timer of that execution."""
        return TimerRow(self.execution_id(number), timer_id, due_at)

    async def finish(
        self,
        backend: ExecutionBackend,
        number: int,
        status: str,
        at: int,
    ) -> BatchOutcome:
        """Start an execution that has ended; its number is its key."""
        start = self.start(number, status=status, finalized_at=at, execution_key=str(number))
        return await backend.journal.append(start)


def written(outcome: BatchOutcome) -> list[bool]:
    """Which rows of a batch were written; that their numbers rise in the order of the batch.

    By how much is a backend's own affair: where a batch was rolled back numbers may be missing.
    """
    seqs = [seq for seq in outcome.seqs if seq is not None]
    assert seqs == sorted(set(seqs)), "the seqs of a batch rise"
    assert all(seq > 0 for seq in seqs)
    return [seq is not None for seq in outcome.seqs]


def numbers_of(rows: list[ExecutionRow]) -> list[int]:
    """By which numbers these executions are known, in the order of the rows."""
    return [int.from_bytes(row.execution_id, "big") for row in rows]
