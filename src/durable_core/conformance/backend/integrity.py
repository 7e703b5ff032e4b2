"""Rows come back byte by byte, and what others have changed is read as it lies there."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.rows import Rows, numbers_of
from durable_core.contracts import CommitBatch, ExecutionBackend, Stray, StrayKind
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow

__all__ = ["DamageContract", "RoundTripContract"]

EVERY_BYTE = bytes(range(256))
TEXTS = (
    "",
    " ",
    "'; DROP TABLE x; --",
    '"\\\n\t\r\x01\x7f',
    "é e\u0301 ß \u202e 🎈",
    "x" * 100_000,
)
TIMES = (0, 1, 2**31, 2**53 + 1, 2**63 - 1)


class RoundTripContract(BackendContract):
    """Every column keeps what it was given, to its extremes."""

    async def test_every_column_of_an_execution(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        variants: list[dict[str, Any]] = [
            *({"workflow": text} for text in TEXTS),
            *({"execution_key": text[:1000], "kind": f"custom:{text}"} for text in TEXTS),
            *({"owner_id": text} for text in TEXTS),
            *({"created_at": time, "updated_at": time} for time in TIMES),
            *({"finalized_at": time, "status": "aborted"} for time in TIMES),
            *({"generation": number, "entry_count": number} for number in (0, 1, 2**31 - 1)),
            *({"owner_epoch": number} for number in (0, 1, 2**63 - 1)),
            *({"key_id": number} for number in (None, 1, 255)),
            *({"sealed": a, "stamped": b} for a in (False, True) for b in (False, True)),
            *({"head_hmac": data, "anchor_mac": data} for data in (None, b"", EVERY_BYTE)),
        ]
        made = [rows.execution(number, **new) for number, new in enumerate(variants, start=1)]
        await backend.journal.append(CommitBatch(tuple(made), (), ()))
        assert await backend.list_executions(limit=1000) == made
        for row in made:
            assert await backend.load(row.execution_id) == row
        heads = await backend.heads([row.execution_id for row in made])
        assert sorted(heads, key=lambda row: row.execution_id) == made
        assert {type(value) for row in heads for value in row} <= {
            *(bytes, str, int, bool, type(None))
        }

    async def test_every_column_of_an_entry(self, backend: ExecutionBackend, rows: Rows) -> None:
        blobs = (None, b"", b"\0", EVERY_BYTE)
        variants: list[dict[str, Any]] = [
            *({"entry_kind": int(kind)} for kind in EntryKind),
            *({"step_id": text, "entry_kind": 2} for text in TEXTS),
            *({"effect_class": code} for code in range(4)),
            *({"generation": number} for number in (0, 1, 2**31 - 1)),
            *({"created_at": time} for time in TIMES),
            *({"fingerprint": data, "idem_key": data[:32] if data else data} for data in blobs),
            *({"detail": data, "payload": data, "hmac": data} for data in blobs),
        ]
        made = [rows.entry(1, number, **new) for number, new in enumerate(variants, start=1)]
        made[-1] = made[-1]._replace(payload=EVERY_BYTE * 4096 * 4)
        await backend.journal.append(CommitBatch((rows.execution(1),), (), tuple(made)))
        assert await backend.journal.read_execution(rows.execution_id(1)) == made
        assert await backend.journal.read_execution_range(rows.execution_id(1), 0, 999) == made

    async def test_a_change_keeps_its_extremes(self, backend: ExecutionBackend, rows: Rows) -> None:
        await backend.journal.append(rows.start(1))
        new = {
            "status": "cancelled",
            "generation": 2**31 - 1,
            "head_hmac": EVERY_BYTE,
            "anchor_mac": b"",
            "updated_at": 2**63 - 1,
            "finalized_at": 0,
        }
        await backend.journal.append(rows.advance(2, 1, **new))
        assert await backend.load(rows.execution_id(1)) == rows.execution(1, entry_count=2, **new)

    async def test_ids_are_ordered_and_found_by_their_bytes(
        self, backend: ExecutionBackend, rows: Rows
    ) -> None:
        ids = [bytes(16), bytes(15) + b"\x80", b"\x7f" * 16, b"\x80" + bytes(15), b"\xff" * 16]
        starts = tuple(rows.execution(1, execution_id=one) for one in reversed(ids))
        await backend.journal.append(CommitBatch(starts, (), ()))
        assert [row.execution_id for row in await backend.list_executions()] == ids
        after = await backend.list_executions(after=ids[2])
        assert [row.execution_id for row in after] == ids[3:]


class DamageContract(BackendContract):
    """What somebody else changed in the tables is neither hidden nor in the way of the rest."""

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("workflow", "changed"),
            ("execution_key", "changed"),
            ("kind", "changed"),
            ("status", "blocked"),
            ("generation", 7),
            ("key_id", 9),
            ("owner_id", "changed"),
            ("owner_epoch", 9),
            ("entry_count", 99),
            ("head_hmac", b"changed"),
            ("anchor_mac", None),
            ("created_at", 7),
        ],
    )
    async def test_a_changed_execution_is_read_as_it_is(
        self, harness: BackendHarness, rows: Rows, column: str, value: object
    ) -> None:
        backend = await harness.open()
        await backend.journal.append(rows.start(1, 2))
        await backend.load(rows.execution_id(1))
        statement = f"UPDATE durable_executions SET {column} = $1 WHERE execution_id = $2"
        assert await harness.tamper(statement, value, rows.execution_id(1)) == 1
        changed = rows.execution(1, **{column: value})
        assert await backend.load(rows.execution_id(1)) == changed
        assert await backend.heads([rows.execution_id(1)]) == [changed]
        assert await backend.list_executions() == [changed, rows.execution(2)]
        assert column in ExecutionRow._fields

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("generation", 7),
            ("step_id", "changed"),
            ("entry_kind", 4),
            ("fingerprint", b"changed"),
            ("idem_key", None),
            ("effect_class", 3),
            ("detail", b"changed"),
            ("payload", b"changed"),
            ("payload_version", 7),
            ("hmac", None),
            ("created_at", 7),
        ],
    )
    async def test_a_changed_entry_is_read_as_it_is(
        self, harness: BackendHarness, rows: Rows, column: str, value: object
    ) -> None:
        backend = await harness.open()
        await backend.journal.append(rows.start(1))
        await backend.journal.append(rows.advance(2, 1))
        one = rows.execution_id(1)
        await backend.journal.read_execution(one)
        statement = (
            f"UPDATE durable_journal SET {column} = $1 WHERE execution_id = $2 AND entry_no = 2"
        )
        assert await harness.tamper(statement, value, one) == 1
        expected = [rows.entry(1, 1, entry_kind=1), rows.entry(1, 2, **{column: value})]
        assert await backend.journal.read_execution(one) == expected
        assert await backend.journal.read_execution_range(one, 1, 9) == expected[1:]
        assert column in JournalRow._fields

    async def test_a_missing_entry_leaves_a_gap(self, harness: BackendHarness, rows: Rows) -> None:
        backend = await harness.open()
        await backend.journal.append(rows.start(1))
        for count in (2, 3):
            await backend.journal.append(rows.advance(count, 1))
        one = rows.execution_id(1)
        gone = "DELETE FROM durable_journal WHERE execution_id = $1 AND entry_no = 2"
        assert await harness.tamper(gone, one) == 1
        assert [row.entry_no for row in await backend.journal.read_execution(one)] == [1, 3]
        page = await backend.journal.read_execution_range(one, 1, 1)
        assert [row.entry_no for row in page] == [3]

    async def test_an_unknown_status_is_listed_and_counted_as_nothing(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backend = await harness.open()
        await backend.journal.append(rows.start(1, 2))
        await harness.tamper(
            "UPDATE durable_executions SET status = $1 WHERE execution_id = $2",
            "bogus",
            rows.execution_id(1),
        )
        assert [row.status for row in await backend.list_executions()] == ["bogus", "running"]
        assert numbers_of(await backend.list_executions(statuses=["running"])) == [2]
        assert [load.executions for load in await backend.running_owners()] == [1]

    async def test_what_no_execution_accounts_for(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        backend = await harness.open()
        for number in (1, 2, 3):
            start = rows.start(number, execution_key=str(number))
            promises, timers = (rows.promise(number, number),), (rows.timer(number),)
            await backend.journal.append(evolve(start, promises=promises, timers=timers))
            await backend.post_inbox(rows.request(number))
        first, second, third = (rows.execution_id(number) for number in (1, 2, 3))
        assert await backend.strays() == []
        await harness.tamper("DELETE FROM durable_executions WHERE execution_id = $1", first)
        await harness.tamper(
            "INSERT INTO durable_execution_keys VALUES ($1, $2, $3)", "checkout", "9", second
        )
        found = await backend.strays()
        assert sorted(found, key=lambda stray: (stray.kind.value, stray[1])) == [
            Stray(StrayKind.ENTRIES, first),
            *[Stray(StrayKind.KEYS, one) for one in (first, second)],
            Stray(StrayKind.PROMISES, first),
            Stray(StrayKind.REQUESTS, first),
            Stray(StrayKind.TIMERS, first),
        ]
        assert len(await backend.strays(limit=3)) == 3
        assert await backend.strays(second) == [Stray(StrayKind.KEYS, second)]
        assert len(await backend.strays(first)) == 5
        assert await backend.strays(third) == []

    async def test_broken_text_stays_with_its_row_and_is_found_again(
        self, harness: BackendHarness, rows: Rows
    ) -> None:
        """Where the database holds no such text, with the oddest that it holds."""
        backend = await harness.open()
        for number in (1, 2):
            await backend.journal.append(rows.start(number))
            await backend.post_inbox(rows.request(number))
        damaged = rows.execution_id(1)
        text = harness.broken_text or "'\ufffd\u202e\U0010ffff'"
        for table, column in (("durable_executions", "workflow"), ("durable_inbox", "slot")):
            statement = f"UPDATE {table} SET {column} = {text} WHERE execution_id = $1"
            assert await harness.tamper(statement, damaged) == 1
        one, two = await backend.list_executions()
        assert two == rows.execution(2)
        assert one == rows.execution(1, workflow=one.workflow)
        assert one.workflow != "checkout"
        assert await backend.list_executions(workflow=one.workflow) == [one]
        assert await backend.list_executions(workflow="\ud800") == []
        assert await backend.heads([damaged]) == [one]
        if harness.broken_text is not None:
            with pytest.raises(UnicodeEncodeError):
                one.workflow.encode()
        requests = await backend.read_inbox()
        assert {request.execution_id for request in requests} == {damaged, two.execution_id}
        for request in requests:
            await backend.remove_inbox(request.execution_id, request.slot)
        assert await backend.read_inbox() == []
