"""What the state machine does, drawn at random: few executions, so that operations meet."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from attrs import evolve, frozen
from hypothesis import strategies as st

from durable_core.conformance.rows import Rows
from durable_core.contracts import CommitBatch, HeadChange, PromiseRow, TimerRow
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ANYONE, NOBODY, TERMINAL, ExecutionRow, Status

__all__ = [
    "KEYS",
    "NUMBERS",
    "PROMISES",
    "WORKFLOWS",
    "Advance",
    "Lookups",
    "Start",
    "advances",
    "batch_of",
    "continued",
    "lookups",
    "mostly_all",
    "numbers",
    "owners",
    "starts",
    "statuses",
]

T = TypeVar("T")

NUMBERS: Final = range(1, 8)
WORKFLOWS: Final = ("checkout", "refund")
KEYS: Final = ("a", "A", "b ")
PROMISES: Final = range(1, 4)

_OWNERS: Final = ("owner-1", "owner-2", ANYONE, NOBODY)
_LABELS: Final = tuple(status.label for status in Status)
_ENDED: Final = frozenset(status.label for status in TERMINAL)
_ROWS: Final = Rows()
_NO_FAULT: Final[dict[str, Any]] = {}
_TOO_LARGE: Final[dict[str, Any]] = {"created_at": 2**63}

numbers = st.sampled_from(NUMBERS)
owners = st.sampled_from(_OWNERS)
statuses = st.sampled_from((*("running",) * 9, *_LABELS))


def mostly_all(*things: T) -> st.SearchStrategy[tuple[T, ...]]:
    """All of these more often than not, else some or none."""
    some = st.lists(st.sampled_from(things), unique=True).map(tuple)
    return st.sampled_from((True, True, False)).flatmap(
        lambda all_: st.just(things) if all_ else some
    )


@frozen
class Start:
    """An execution to be started, and how many entries it begins with."""

    number: int
    workflow: str
    key: str | None
    owner: str
    key_id: int | None
    status: str
    entries: int

    def row(self) -> ExecutionRow:
        """As it stands after the batch."""
        return _ROWS.execution(
            self.number,
            workflow=self.workflow,
            execution_key=self.key,
            owner_id=self.owner,
            key_id=self.key_id,
            status=self.status,
            entry_count=self.entries,
            finalized_at=10 if self.status in _ENDED else None,
        )


@frozen
class Advance:
    """A change of an execution, stale or not, and entries, the last of them good or not."""

    number: int
    stale: str | None
    status: str
    entries: int
    fault: dict[str, Any]
    time: int

    def change(self, row: ExecutionRow | None) -> HeadChange:
        """From what is stored, but for what is stale."""
        row = row or _ROWS.execution(self.number)
        change = HeadChange(
            row.execution_id,
            row.owner_epoch,
            row.status,
            row.entry_count,
            self.status,
            row.generation + (row.status == "failed"),
            row.entry_count + self.entries,
            b"H" * 32,
            None,
            self.time,
            self.time if self.status in _ENDED else None,
        )
        match self.stale:
            case "epoch":
                return change._replace(owner_epoch=row.owner_epoch - 1)
            case "status":
                other = "blocked" if row.status == "running" else "running"
                return change._replace(expected_status=other)
            case "count":
                return change._replace(expected_count=row.entry_count + 1)
            case _:
                return change

    def rows(self, row: ExecutionRow | None) -> list[JournalRow]:
        """The entries that follow the stored ones."""
        first = 1 + (row.entry_count if row else 1)
        rows = [
            _ROWS.entry(self.number, first + index, created_at=self.time)
            for index in range(self.entries)
        ]
        return [*rows[:-1], rows[-1]._replace(**self.fault_for(row))] if rows else rows

    def fault_for(self, row: ExecutionRow | None) -> dict[str, Any]:
        """What is wrong with the last entry.

        A value that no column takes is always in an entry that would be written: whether it refuses
        its batch where it would be left out is the backend's choice.
        """
        left_out = row is None or self.stale is not None
        return _NO_FAULT if left_out and self.fault == _TOO_LARGE else self.fault


@frozen
class Lookups:
    """Promises and timers, of which a batch takes those that are of its executions."""

    promises: list[PromiseRow]
    timers: list[TimerRow]
    disarmed: list[tuple[bytes, str]]

    def on(self, batch: CommitBatch) -> CommitBatch:
        """The batch with those."""
        own = {start.execution_id for start in batch.starts}
        own |= {change.execution_id for change in batch.changes}
        return evolve(
            batch,
            promises=tuple(one for one in self.promises if one.execution_id in own),
            timers=tuple(one for one in self.timers if one.execution_id in own),
            disarmed=tuple(one for one in self.disarmed if one[0] in own),
        )


starts = st.builds(
    Start,
    number=numbers,
    workflow=st.sampled_from(WORKFLOWS),
    key=st.sampled_from((None, *KEYS)),
    owner=owners,
    key_id=st.sampled_from((None, 1, 2)),
    status=statuses,
    entries=st.integers(0, 2),
)

_faults = st.sampled_from(
    (
        *(_NO_FAULT,) * 24,
        {"entry_no": 1},
        {"entry_kind": 12},
        {"step_id": "1"},
        {"effect_class": 9},
        _TOO_LARGE,
        {"payload": None},
        {"entry_kind": 2, "payload": None, "step_id": "1"},
        {"generation": 3, "step_id": "1"},
    )
)

advances = st.builds(
    Advance,
    number=numbers,
    stale=st.sampled_from((*(None,) * 9, "epoch", "status", "count")),
    status=statuses,
    entries=st.integers(0, 3),
    fault=_faults,
    time=st.integers(20, 60),
)

_timer_ids = st.sampled_from(("0", "1", "4.1.0", "é", "Z", "a"))

lookups = st.builds(
    Lookups,
    st.lists(
        st.builds(
            _ROWS.promise,
            numbers,
            st.sampled_from(PROMISES),
            token_hash=st.sampled_from((*(b"t" * 32,) * 12, *(b"u" * 32,) * 11, b"short")),
            created_at=st.integers(0, 3),
        ),
        max_size=4,
    ),
    st.lists(st.builds(_ROWS.timer, numbers, _timer_ids, st.integers(0, 3)), max_size=6),
    st.lists(st.tuples(numbers.map(_ROWS.execution_id), _timer_ids), max_size=4),
)


def batch_of(
    begun: list[Start],
    advanced: list[Advance],
    stored: dict[bytes, ExecutionRow],
    looked_up: Lookups,
) -> CommitBatch:
    """A batch as the writer makes them: changes by id, and nothing is both started and changed."""
    new = {start.number for start in begun}
    moved = {one.number: one for one in advanced if one.number not in new}
    found = {number: stored.get(_ROWS.execution_id(number)) for number in moved}
    batch = CommitBatch(
        tuple(start.row() for start in begun),
        tuple(moved[number].change(found[number]) for number in sorted(moved)),
        (
            *(row for number, one in moved.items() for row in one.rows(found[number])),
            *(_ROWS.entry(one.number, index + 1) for one in begun for index in range(one.entries)),
        ),
    )
    return looked_up.on(batch)


def continued(
    batch: CommitBatch, heirs: list[int], stored: dict[bytes, ExecutionRow]
) -> CommitBatch:
    """The batch, where these continue its first changes: with their workflows and keys."""
    there = {start.execution_id for start in batch.starts}
    there |= {change.execution_id for change in batch.changes}
    free = [number for number in heirs if _ROWS.execution_id(number) not in there]
    starts, successions = [], []
    for number, change in zip(free, batch.changes, strict=False):
        before = stored.get(change.execution_id) or _ROWS.execution(number)
        start = _ROWS.execution(
            number, workflow=before.workflow, execution_key=before.execution_key
        )
        starts.append(start)
        successions.append((change.execution_id, start.execution_id))
    return evolve(
        batch,
        starts=(*batch.starts, *starts),
        rows=(*batch.rows, *(_ROWS.entry(number, 1) for number in free[: len(starts)])),
        successions=tuple(successions),
    )
