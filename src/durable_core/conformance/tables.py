"""The contract of storage as plain data: what a batch does to the tables, and what it may not hold.

The reference that real backends are compared with. It is slow and small on purpose: a batch works
on a copy, which takes the place of the tables only when all of it went well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from typing import Final

from attrs import define, field, fields

from durable_core.contracts import (
    BatchOutcome,
    CommitBatch,
    EndedRow,
    Fold,
    HeadChange,
    InboxRow,
    PromiseRow,
    TimerRow,
    Usage,
)
from durable_core.errors import EntryRejected
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import TERMINAL, ExecutionRow, Status

__all__ = ["Tables"]

_CLOSING: Final = frozenset({EntryKind.STEP_RESULT, EntryKind.STEP_FAILED})
_WORDS: Final = frozenset(status.label for status in Status)
_ENDED: Final = frozenset(status.label for status in TERMINAL)
_LARGEST: Final = 2**63 - 1


@define
class Tables:
    """Everything that a journal holds, and how a transaction changes it."""

    executions: dict[bytes, ExecutionRow] = field(factory=dict)
    keys: dict[tuple[str, str], bytes] = field(factory=dict)
    entries: dict[tuple[bytes, int], JournalRow] = field(factory=dict)
    seqs: dict[tuple[bytes, int], int] = field(factory=dict)
    requests: dict[tuple[bytes, str], InboxRow] = field(factory=dict)
    promises: dict[tuple[bytes, bytes], PromiseRow] = field(factory=dict)
    timers: dict[tuple[bytes, str], TimerRow] = field(factory=dict)
    checks: dict[int, bytes] = field(factory=dict)
    last_seq: int = 0

    def begin(self) -> Tables:
        """A copy to work on."""
        return Tables(*(copy(getattr(self, one.name)) for one in fields(Tables)))

    def commit(self, work: Tables) -> None:
        """Let `work` take the place of what is here."""
        for one in fields(Tables):
            setattr(self, one.name, getattr(work, one.name))

    def append(self, batch: CommitBatch) -> BatchOutcome:
        """Apply the changes, start what has a key of its own, and insert what belongs to those."""
        unmatched = frozenset(
            change.execution_id for change in batch.changes if not self._change(change)
        )
        unmatched |= {heir for one, heir in batch.successions if one in unmatched}
        taken = self._begin(batch, unmatched)
        lost = unmatched | taken.keys()
        seqs = [None if row.execution_id in lost else self._insert(row) for row in batch.rows]
        for promise in batch.promises:
            if promise.execution_id not in lost:
                self._keep(promise)
        for timer in batch.timers:
            if timer.execution_id not in lost:
                self._arm(timer)
        for place in batch.disarmed:
            if place[0] not in lost:
                self.timers.pop(place, None)
        return BatchOutcome(seqs, unmatched, taken)

    def _change(self, change: HeadChange) -> bool:
        row = self.executions.get(change.execution_id)
        if row is None or change[1:4] != (row.owner_epoch, row.status, row.entry_count):
            return False
        changed = row._replace(
            status=change.status,
            generation=change.generation,
            entry_count=change.entry_count,
            head_hmac=change.head_hmac,
            anchor_mac=change.anchor_mac,
            updated_at=change.updated_at,
            finalized_at=change.finalized_at,
        )
        _check_execution(changed)
        self.executions[row.execution_id] = changed
        return True

    def _begin(self, batch: CommitBatch, unmatched: frozenset[bytes]) -> dict[bytes, bytes]:
        """What starts anew, then what continues another execution; who has the key of the rest."""
        before = {heir: one for one, heir in batch.successions}
        taken: dict[bytes, bytes] = {}
        for start in batch.starts:
            if start.execution_id not in before:
                holder = self._start(start)
                if holder is not None:
                    taken[start.execution_id] = holder
        for start in batch.starts:
            if start.execution_id in before.keys() - unmatched:
                self._continue(before[start.execution_id], start)
        return taken

    def _start(self, start: ExecutionRow) -> bytes | None:
        """Create it, unless somebody has its key; who that is."""
        key = start.execution_key
        if key is not None and (holder := self.keys.get((start.workflow, key))) is not None:
            return holder
        self._create(start)
        if key is not None:
            self.keys[start.workflow, key] = start.execution_id
        return None

    def _continue(self, before: bytes, start: ExecutionRow) -> None:
        """Create it, and let its key lead to it where it led to `before`."""
        self._create(start)
        key = start.execution_key
        if key is not None and self.keys.get((start.workflow, key)) == before:
            self.keys[start.workflow, key] = start.execution_id

    def _create(self, start: ExecutionRow) -> None:
        _check_execution(start)
        _require(start.execution_id not in self.executions, "an execution starts once")
        self.executions[start.execution_id] = start

    def _insert(self, row: JournalRow) -> int:
        _check_entry(row)
        place = (row.execution_id, row.entry_no)
        _require(row.execution_id in self.executions, "an entry belongs to an execution")
        _require(place not in self.entries, "a number is given once")
        if row.entry_kind in _CLOSING:
            closed = any(
                other.entry_kind in _CLOSING
                and (other.generation, other.step_id) == (row.generation, row.step_id)
                for other in self.entries_of(row.execution_id)
            )
            _require(not closed, "a step closes once in a generation")
        self.last_seq += 1
        self.entries[place] = row
        self.seqs[place] = self.last_seq
        return self.last_seq

    def fold(self, fold: Fold) -> bool:
        """Put checkpoints in the place of entries; False, half done, where it does not apply."""
        row = self.executions.get(fold.execution_id)
        if row is None or (row.owner_epoch, row.status) != (fold.owner_epoch, fold.status):
            return False
        for entries, checkpoint in fold.ranges:
            first, last = entries[0][0], entries[-1][0]
            places = [
                place
                for place in self.entries
                if place[0] == fold.execution_id and first <= place[1] <= last
            ]
            stored = [(place[1], self.entries[place].hmac) for place in sorted(places)]
            if stored != list(entries):
                return False
            for place in places:
                del self.entries[place], self.seqs[place]
            self._insert(checkpoint)
        return True

    def _keep(self, promise: PromiseRow) -> None:
        _require(promise.execution_id in self.executions, "a promise belongs to an execution")
        _require(len(promise.promise_id) == 16, "the id of a promise has 16 bytes")
        _require(len(promise.token_hash) == 32, "the hash of a token has 32 bytes")
        _check_text(promise.name)
        _check_number(-_LARGEST - 1, promise.created_at)
        outcome = promise.outcome
        _require(outcome is None or len(outcome) == 32, "the mark of an outcome has 32 bytes")
        first = self.promises.setdefault((promise.execution_id, promise.promise_id), promise)
        if first.outcome is None:
            place = promise.execution_id, promise.promise_id
            self.promises[place] = first._replace(outcome=outcome)

    def _arm(self, timer: TimerRow) -> None:
        _require(timer.execution_id in self.executions, "a timer belongs to an execution")
        _check_text(timer.timer_id)
        _check_number(-_LARGEST - 1, timer.due_at)
        self.timers[timer.execution_id, timer.timer_id] = timer

    def entries_of(self, execution_id: bytes) -> list[JournalRow]:
        """The entries of an execution by number."""
        places = sorted(place for place in self.entries if place[0] == execution_id)
        return [self.entries[place] for place in places]

    def listed(
        self, statuses: Sequence[str], workflow: str | None, after: bytes
    ) -> list[ExecutionRow]:
        """The executions that pass the filters, by id."""
        return [
            self.executions[one]
            for one in sorted(self.executions)
            if one > after
            and (not statuses or self.executions[one].status in statuses)
            and workflow in {None, self.executions[one].workflow}
        ]

    def store_check(self, key_id: int, check: bytes) -> None:
        """Keep the check of a key, unless it is there; refused where another one is."""
        _require(0 < key_id < 256, "a key id is 1 to 255")
        if self.checks.setdefault(key_id, check) != check:
            message = f"key id {key_id} has been used with other key bytes"
            raise EntryRejected(message)

    def file(self, row: InboxRow) -> bool:
        """File a request, unless its slot is taken."""
        _require(row.execution_id in self.executions, "a request is for an execution")
        _check_text(row.slot, row.kind)
        _check_number(0, row.created_at)
        if (row.execution_id, row.slot) in self.requests:
            return False
        self.requests[row.execution_id, row.slot] = row
        return True

    def ended(self) -> list[EndedRow]:
        """What has ended, the first one to end first."""
        rows = [
            EndedRow(
                row.execution_id,
                row.workflow,
                row.execution_key,
                row.status,
                row.owner_epoch,
                row.finalized_at,
                *self._weight(self.entries_of(row.execution_id)),
            )
            for row in self.executions.values()
            if row.finalized_at is not None
        ]
        return sorted(rows, key=lambda row: (row.finalized_at, row.execution_id))

    def open_usage(self) -> Usage:
        """What the executions hold that have not ended."""
        ids = {one for one, row in self.executions.items() if row.status not in _ENDED}
        entries = [entry for entry in self.entries.values() if entry.execution_id in ids]
        return Usage(len(ids), *self._weight(entries))

    def _weight(self, entries: Collection[JournalRow]) -> tuple[int, int]:
        size = sum(len(entry.payload or b"") + len(entry.detail or b"") for entry in entries)
        return len(entries), size

    def prune(self, rows: Iterable[EndedRow]) -> frozenset[bytes]:
        """Delete what is as it was, with everything that is its own; which ones that were."""
        fences = {row.fence for row in self.ended()}
        gone = frozenset(row.execution_id for row in rows if row.fence in fences)
        for place in [place for place in self.entries if place[0] in gone]:
            del self.entries[place], self.seqs[place]
        self.executions = {one: row for one, row in self.executions.items() if one not in gone}
        self.keys = {key: one for key, one in self.keys.items() if one not in gone}
        self.requests = {slot: row for slot, row in self.requests.items() if slot[0] not in gone}
        self.promises = {one: row for one, row in self.promises.items() if one[0] not in gone}
        self.timers = {one: row for one, row in self.timers.items() if one[0] not in gone}
        return gone


def _check_execution(row: ExecutionRow) -> None:
    _require(len(row.execution_id) == 16, "an id has 16 bytes")
    _require(row.status in _WORDS, "a status is one of six words")
    _require(row.finalized_at is None or row.status in _ENDED, "what is open has no end")
    _require(row.key_id is None or 0 < row.key_id < 256, "a key id is 1 to 255")
    _check_text(row.workflow, row.execution_key or "", row.kind, row.owner_id)
    _check_number(0, row.generation, row.entry_count)
    _check_number(-_LARGEST - 1, row.owner_epoch, row.created_at, row.updated_at)
    _check_number(-_LARGEST - 1, row.finalized_at or 0)


def _check_entry(row: JournalRow) -> None:
    _require(1 <= row.entry_kind <= max(EntryKind), "a kind is one of eleven")
    _require(0 <= row.effect_class <= 3, "an effect class is 0 to 3")
    _check_text(row.step_id)
    _check_number(1, row.entry_no)
    _check_number(0, row.generation)
    _check_number(-_LARGEST - 1, row.payload_version, row.created_at)
    for data in (row.fingerprint, row.idem_key, row.detail, row.payload, row.hmac):
        _require(data is None or isinstance(data, bytes), "what is no text and no number is bytes")


def _check_text(*texts: object) -> None:
    for text in texts:
        try:
            whole = isinstance(text, str) and bool(text.encode() or True)
        except UnicodeEncodeError:
            whole = False
        _require(whole, "text is text that UTF-8 has")


def _check_number(smallest: int, *numbers: int) -> None:
    _require(all(smallest <= number <= _LARGEST for number in numbers), "numbers have 64 bits")


def _require(holds: bool, rule: str) -> None:  # noqa: FBT001 - the condition itself
    if not holds:
        message = f"this row can never be stored: {rule}"
        raise EntryRejected(message)
