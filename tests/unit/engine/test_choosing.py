"""Which executions retention takes: on the reference, against the rule said once more, naively."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

from attrs import evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_core.config import RetentionConfig
from durable_core.conformance.memory import MemoryBackend, MemoryDatabase
from durable_core.conformance.rows import Rows
from durable_core.contracts import EndedRow
from durable_core.engine.choosing import Choice, Reason, chosen, horizon_of, size_of

ROWS: Final = Rows()
NOW: Final = 100_000
ENTRY: Final = 256
ENDED: Final = ("completed", "failed", "aborted", "cancelled")


@frozen
class Made:
    """An execution: its status, when it ended, how large its only entry is, whose child it is."""

    status: str
    second: int
    payload: int
    parent: int | None


@frozen
class Journal:
    """A journal of these executions, known by their place, and the settings."""

    made: list[Made]
    retention: RetentionConfig

    async def backend(self) -> MemoryBackend:
        backend = MemoryBackend(MemoryDatabase())
        for number, one in enumerate(self.made):
            ended = one.status in ENDED
            start = ROWS.start(
                number,
                status=one.status,
                finalized_at=one.second * 1000 if ended else None,
                execution_key=key_of(one.parent, number),
            )
            entries = [entry._replace(payload=b"1" * one.payload) for entry in start.rows]
            await backend.journal.append(evolve(start, rows=tuple(entries)))
        return backend

    def expected(self) -> list[tuple[bytes, Reason]]:
        """The rule: ages first, then the caps; of what may go, the first to end goes first."""
        open_ones = {n for n, one in enumerate(self.made) if one.status not in ENDED}
        order = sorted(
            (one.second, number)
            for number, one in enumerate(self.made)
            if one.status in ENDED and one.parent not in open_ones
        )
        left = set(range(len(self.made)))
        gone: dict[int, Reason] = {}
        for _, number in order:
            why = self.aged(self.made[number])
            if why is not None:
                gone[number] = why
                left.remove(number)
        for _, number in order:
            if number in left and len(left) > self.retention.max_executions:
                gone[number] = Reason.COUNT
                left.remove(number)
        for _, number in order:
            size = sum(self.made[one].payload + ENTRY for one in left)
            if number in left and size > self.retention.max_journal_bytes:
                gone[number] = Reason.BYTES
                left.remove(number)
        return [(ROWS.execution_id(n), gone[n]) for _, n in order if n in gone]

    def aged(self, one: Made) -> Reason | None:
        age = NOW // 1000 - one.second
        if one.status == "completed":
            return Reason.COMPLETED_TTL if age > self.retention.ttl_completed_secs else None
        return Reason.FAILED_TTL if age > self.retention.ttl_failed_secs else None


def key_of(parent: int | None, number: int) -> str | None:
    if parent is None:
        return None
    return f"{uuid.UUID(bytes=ROWS.execution_id(parent))}/{number:064x}"


async def choices(backend: MemoryBackend, retention: RetentionConfig) -> list[Choice]:
    horizon = await horizon_of(backend, retention, NOW)
    return [choice async for choice in chosen(backend, horizon)]


made = st.builds(
    Made,
    status=st.sampled_from((*ENDED, *ENDED, "running", "blocked")),
    second=st.integers(0, 12).map(lambda second: second * 8),
    payload=st.sampled_from((0, 10, 500, 3000)),
    parent=st.sampled_from((None, None, 0, 1, 5, 999)),
)
journals = st.builds(
    Journal,
    made=st.lists(made, max_size=14),
    retention=st.builds(
        RetentionConfig,
        ttl_completed_secs=st.sampled_from((0, 20, 50, 1000)),
        ttl_failed_secs=st.sampled_from((0, 20, 50, 1000)),
        max_executions=st.sampled_from((1, 3, 6, 1000)),
        max_journal_bytes=st.sampled_from((1, 1000, 5000, 1 << 30)),
    ),
)


@settings(max_examples=40)
@given(journal=journals)
def test_ec_39_what_goes_is_what_the_rule_says(journal: Journal) -> None:
    async def check() -> None:
        backend = await journal.backend()
        found = await choices(backend, journal.retention)
        assert [(one.row.execution_id, one.reason) for one in found] == journal.expected()

    asyncio.run(check())


@settings(max_examples=40)
@given(journal=journals)
def test_ec_39_behind_a_run_nothing_is_left_to_do(journal: Journal) -> None:
    """The caps hold then, unless all that is left may not go."""

    async def check() -> None:
        backend = await journal.backend()
        await backend.prune([one.row for one in await choices(backend, journal.retention)])
        assert await choices(backend, journal.retention) == []
        usage, ended = await backend.open_usage(), await backend.ended(None, 99)
        over = (
            usage.executions + len(ended) > journal.retention.max_executions
            or size_of(usage) + sum(size_of(row) for row in ended)
            > journal.retention.max_journal_bytes
        )
        if over:
            stored = await backend.list_executions(limit=99)
            open_ones = {row.execution_id for row in stored if row.status not in ENDED}
            assert all(
                row.execution_key is not None
                and uuid.UUID(row.execution_key.partition("/")[0]).bytes in open_ones
                for row in ended
            )

    asyncio.run(check())


async def test_pages_change_nothing() -> None:
    """More than a page of each kind, with the cut in the second one."""
    count = 1300
    journal = Journal(
        [Made(ENDED[n % 4], 50 + n % 3, 0, None) for n in range(count)],
        RetentionConfig(ttl_completed_secs=1000, ttl_failed_secs=1000, max_executions=500),
    )
    found = await choices(await journal.backend(), journal.retention)
    assert [(one.row.execution_id, one.reason) for one in found] == journal.expected()
    assert len(found) == 800


async def test_a_run_that_began_earlier_deletes_no_more_than_the_caps_say() -> None:
    """It follows a horizon that stands, however much others delete meanwhile."""
    journal = Journal(
        [Made("completed", 50 + n, 0, None) for n in range(20)],
        RetentionConfig(ttl_completed_secs=1000, max_executions=5),
    )
    backend = await journal.backend()
    horizon = await horizon_of(backend, journal.retention, NOW)
    gone: list[EndedRow] = []
    async for choice in chosen(backend, horizon):
        if not gone:
            await backend.prune([one.row for one in await choices(backend, journal.retention)])
        gone.append(choice.row)
    assert await backend.ended(None, 99) == (await (await journal.backend()).ended(None, 99))[15:]


async def test_what_others_delete_while_it_is_chosen_makes_it_no_more() -> None:
    """They are at the other end: what stays is counted, from the newest on."""
    journal = Journal(
        [Made("completed", 50 + n // 100, 0, None) for n in range(1400)],
        RetentionConfig(ttl_completed_secs=1000, max_executions=600),
    )
    backend = await journal.backend()
    undisturbed = await horizon_of(backend, journal.retention, NOW)
    other: Any = backend
    real = other.ended

    async def ended(*asked: Any, newest_first: bool) -> list[EndedRow]:
        await backend.prune(await real(None, 100))
        return list(await real(*asked, newest_first=newest_first))

    other.ended = ended
    assert await horizon_of(backend, journal.retention, NOW) == undisturbed
    assert len(await real(None, 2000)) < 1400 - 3 * 100


async def test_a_key_that_only_looks_like_a_childs_keeps_nothing() -> None:
    parent = uuid.UUID(bytes=ROWS.execution_id(0xABCDEF))
    derived = f"{parent}/{1:064x}"
    others = (f"{parent}", derived[:-1], f"x{derived}", derived.upper())
    backend = MemoryBackend(MemoryDatabase())
    await backend.append(ROWS.start(0xABCDEF))
    for number, key in enumerate((derived, *others), start=1):
        start = ROWS.start(number, status="failed", finalized_at=1, execution_key=key)
        await backend.append(start)
    found = await choices(backend, RetentionConfig(ttl_failed_secs=0))
    assert {one.row.execution_key for one in found} == set(others)
