"""INV-16: with a key, any change to what was committed is found whenever it is read.

Each case edits a real file behind the engine's back and asks all who read: the one that resumes,
the one that wants a result, and the one that verifies.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from durable_core import DurableContext, step
from durable_core.errors import ExecutionFailed, IntegrityError
from durable_core.model.entries import JournalRow
from durable_core.model.execution import ExecutionRow, Status
from tests.engines import OpenEngine
from tests.journals import change, path_of, query
from tests.programs import version
from tests.tampering import (
    ENTRIES,
    RESULT,
    Tamper,
    Written,
    closed_up,
    deleted,
    edited,
    inserted,
    journal_of,
    record,
    rows_of,
    swapped,
)

PLACES = [1, 3, 4, -1]
"""The start, an intent, a result, and the last row."""

COLUMNS = {
    "entry_no": "777",
    "generation": "generation + 1",
    "step_id": "'88'",
    "entry_kind": "11",
    "fingerprint": "zeroblob(32)",
    "idem_key": "zeroblob(32)",
    "effect_class": "(effect_class + 1) % 4",
    "detail": "x'00'",
    "payload": "CAST(coalesce(payload, x'') || x'00' AS BLOB)",
    "payload_version": "2",
    "hmac": "zeroblob(32)",
    "created_at": "created_at + 1",
}
RECORD = {
    "workflow": "'other'",
    "execution_key": "'order-43'",
    "kind": "'dag_run'",
    "status": "CASE status WHEN 'completed' THEN 'failed' ELSE 'completed' END",
    "generation": "1",
    "key_id": "2",
    "sealed": "0",
    "stamped": "0",
    "entry_count": "entry_count - 1",
    "head_hmac": "zeroblob(32)",
    "anchor_mac": "zeroblob(32)",
}
NOT_ANCHORED = {
    "execution_id",
    "owner_id",
    "owner_epoch",
    "created_at",
    "updated_at",
    "finalized_at",
}

CASES: dict[str, Tamper] = {
    **{f"row {place} deleted": deleted(place) for place in PLACES},
    **{f"row {place} deleted, the rest moved up": closed_up(place) for place in (2, 4)},
    "the tail cut": deleted(-3, 3),
    "all rows deleted": lambda path, execution_id: deleted(1, rows_of(path, execution_id))(
        path,
        execution_id,
    ),
    **{f"a row inserted at {place}": inserted(place) for place in (1, 2, 5)},
    "a row inserted behind the last": inserted(None),
    **{f"rows {a} and {b} swapped": swapped(a, b) for a, b in ((2, 4), (3, 5), (4, 6))},
    **{
        f"{column} of row {place} edited": edited(column, expression, place)
        for column, expression in COLUMNS.items()
        for place in PLACES
    },
    **{
        f"{column} of row {place} emptied": edited(column, "NULL", place)
        for column in ("fingerprint", "idem_key", "detail", "payload", "hmac")
        for place in (2, 6)
    },
    **{f"{column} of the record edited": record(column, value) for column, value in RECORD.items()},
}


def test_every_column_is_edited_in_some_case() -> None:
    assert {*COLUMNS, "execution_id"} == set(JournalRow._fields)
    assert {*RECORD, *NOT_ANCHORED} == set(ExecutionRow._fields)


@pytest.mark.parametrize("case", CASES)
async def test_ec_26_a_changed_execution_gives_no_result(
    reopened: OpenEngine,
    written: Written,
    case: str,
) -> None:
    """Verifying finds it too, by its id and among all, and nothing in the one beside it."""
    called = written.steps_called
    CASES[case](written.path, written.completed.bytes)
    async with reopened() as engine:
        with pytest.raises(IntegrityError):
            await (await engine.get(written.completed)).result(timeout=20)
        with pytest.raises(IntegrityError):
            await engine.verify(written.completed)
        with pytest.raises(IntegrityError):
            await engine.verify()
        assert (await engine.verify(written.beside)).executions == 1
    assert written.steps_called == called


@pytest.mark.parametrize("case", CASES)
async def test_ec_26_a_changed_execution_is_not_resumed(
    reopened: OpenEngine,
    written: Written,
    case: str,
) -> None:
    """No step runs, nothing is journaled, and the journal stays as it is."""
    assert rows_of(written.path, written.running.bytes) == ENTRIES
    called = written.steps_called
    CASES[case](written.path, written.running.bytes)
    before = journal_of(written.path)
    async with reopened() as engine:
        with pytest.raises(IntegrityError):
            await engine.verify(written.running)
        with pytest.raises(IntegrityError):
            await (await engine.resume(written.running)).result(timeout=20)
    assert written.steps_called == called
    assert journal_of(written.path) == before


async def test_what_nobody_changed_is_verified_and_goes_on(
    reopened: OpenEngine,
    written: Written,
) -> None:
    """So that the cases above fail for what they change, and for nothing else."""
    called = written.steps_called
    async with reopened() as engine:
        report = await engine.verify()
        assert (report.executions, report.unstamped) == (3, 0)
        assert report.entries == 3 * ENTRIES + 2
        assert await (await engine.get(written.completed)).result() == RESULT
        assert await (await engine.resume(written.running)).result() == RESULT
    assert written.steps_called == [*called, "e"]


@pytest.mark.parametrize("case", ["row 4 deleted", "payload of row -1 edited", "the tail cut"])
async def test_ec_26_recovery_leaves_a_changed_execution_alone_and_takes_the_others(
    reopened: OpenEngine,
    written: Written,
    caplog: pytest.LogCaptureFixture,
    case: str,
) -> None:
    called = written.steps_called
    CASES[case](written.path, written.running.bytes)
    async with reopened(recover=True) as engine:
        assert await (await engine.get(written.beside)).result() == RESULT
        damaged = await engine.get(written.running)
        with pytest.raises(IntegrityError):
            await damaged.result(timeout=20)
        assert await damaged.status() is Status.RUNNING
    assert written.steps_called == [*called, "e"]
    told = [one for one in caplog.records if "IntegrityError" in one.getMessage()]
    assert [one.levelname for one in told] == ["ERROR"]
    assert str(written.running) in told[0].getMessage()


@pytest.mark.parametrize("segment", [1, 2, 3, 100])
async def test_ec_26_damage_in_the_last_row_is_found_before_a_new_step_runs(
    reopened: OpenEngine,
    written: Written,
    segment: int,
) -> None:
    """Whatever was replayed by then: what is new comes after the end, and the end is checked."""
    called = written.steps_called
    edited("created_at", "created_at + 1", -1)(written.path, written.running.bytes)
    async with reopened(replay_segment=segment) as engine:
        with pytest.raises(IntegrityError):
            await (await engine.resume(written.running)).result(timeout=20)
    assert written.steps_called == called


EXCHANGE = """
    UPDATE durable_execution_keys SET execution_id = CASE execution_key
        WHEN 'order-1' THEN (SELECT execution_id FROM durable_execution_keys
                             WHERE execution_key = 'order-2')
        ELSE (SELECT execution_id FROM durable_execution_keys WHERE execution_key = 'order-1')
    END WHERE execution_key IN ('order-1', 'order-2')
"""


async def test_ec_26_keys_that_lead_to_each_others_executions_are_found(
    reopened: OpenEngine,
    written: Written,
) -> None:
    assert change(written.path, EXCHANGE) == 2
    async with reopened() as engine:
        with pytest.raises(IntegrityError, match="table of keys"):
            await engine.get((written.program, "order-1"))
        with pytest.raises(IntegrityError, match="table of keys"):
            await engine.start(written.program, to_the_end=True, key="order-1")
        with pytest.raises(IntegrityError, match="table of keys"):
            await engine.verify()
        handle = await engine.get((written.program, "order-3"))
        assert handle.id == written.beside


async def test_ec_26_a_key_that_leads_nowhere_is_found(
    reopened: OpenEngine,
    written: Written,
) -> None:
    statement = "DELETE FROM durable_execution_keys WHERE execution_key = 'order-1'"
    assert change(written.path, statement) == 1
    async with reopened() as engine:
        with pytest.raises(IntegrityError, match="table of keys"):
            await engine.verify(written.completed)


async def test_ec_26_a_record_rolled_back_without_its_rows_is_found(
    reopened: OpenEngine,
    written: Written,
) -> None:
    """Its anchor was right once, so only the rows behind its last one say that time went on."""
    columns = "status, entry_count, head_hmac, anchor_mac"
    statement = f"SELECT {columns} FROM durable_executions WHERE execution_id = ?"
    (earlier,) = query(written.path, statement, written.running.bytes)
    async with reopened() as engine:
        assert await (await engine.resume(written.running)).result() == RESULT
    statement = (
        "UPDATE durable_executions SET status = ?, entry_count = ?, head_hmac = ?, anchor_mac = ?, "
        "finalized_at = NULL WHERE execution_id = ?"
    )
    assert change(written.path, statement, *earlier, written.running.bytes) == 1
    called = written.steps_called
    async with reopened() as engine:
        with pytest.raises(IntegrityError, match="beyond its last one"):
            await engine.verify(written.running)
        with pytest.raises(IntegrityError, match="beyond its last one"):
            await (await engine.resume(written.running)).result()
    assert written.steps_called == called, "nothing ran a second time"


async def test_the_digest_shows_what_no_chain_can(
    reopened: OpenEngine,
    written: Written,
    tmp_path: Path,
) -> None:
    """The whole database rolled back, and an execution that is gone with all its rows."""
    kept = tmp_path / "earlier.db"
    shutil.copyfile(written.path, kept)
    async with reopened() as engine:
        earlier = (await engine.verify()).digest
        assert (await engine.verify()).digest == earlier
        await (await engine.resume(written.running)).result()
        later = (await engine.verify()).digest
    async with reopened() as engine:
        assert (await engine.verify()).digest == later != earlier
    shutil.copyfile(kept, written.path)
    async with reopened() as engine:
        assert (await engine.verify()).digest == earlier
    for table in ("durable_journal", "durable_execution_keys", "durable_executions"):
        condition = "WHERE execution_id = ?"
        change(written.path, f"DELETE FROM {table} {condition}", written.completed.bytes)
    async with reopened() as engine:
        report = await engine.verify()
        assert report.executions == 2
        assert report.digest not in {earlier, later}


# --- EC-22: blobs that were moved, each over a row that keeps its other columns


def moved(path: Path, source: tuple[bytes, int], target: tuple[bytes, int]) -> None:
    statement = """
        UPDATE durable_journal SET payload = (
            SELECT payload FROM durable_journal WHERE execution_id = ? AND entry_no = ?
        ) WHERE execution_id = ? AND entry_no = ?
    """
    assert change(path, statement, *source, *target) == 1


@pytest.mark.parametrize(
    ("from_beside", "source", "target"),
    [(False, 4, 6), (True, 4, 4), (False, 1, 2), (False, 7, 1)],
    ids=["another step", "another execution", "the start to a step", "a step to the start"],
)
async def test_ec_22_a_blob_that_was_moved_is_found(
    reopened: OpenEngine,
    written: Written,
    *,
    from_beside: bool,
    source: int,
    target: int,
) -> None:
    origin = written.beside if from_beside else written.running
    moved(written.path, (origin.bytes, source), (written.running.bytes, target))
    async with reopened() as engine:
        with pytest.raises(IntegrityError):
            await (await engine.resume(written.running)).result(timeout=20)
        with pytest.raises(IntegrityError):
            await engine.verify(written.running)


async def test_ec_22_a_blob_moved_to_another_generation_is_found(
    open_engine: OpenEngine,
    url: str,
) -> None:
    attempts: list[str] = []

    @step
    async def render() -> str:
        attempts.append("render")
        return "rendered"

    async def body(ctx: DurableContext) -> str:
        value = await ctx.step(render)
        attempts.append("run")
        if attempts.count("run") == 1:
            raise RuntimeError
        return value

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        with pytest.raises(ExecutionFailed):
            await handle.result()
        assert await (await engine.resume(handle.id)).result() == "rendered"
    generations = query(path_of(url), "SELECT generation FROM durable_journal ORDER BY entry_no")
    assert generations == [(0,), (0,), (0,), (1,), (1,), (1,)]
    moved(path_of(url), (handle.id.bytes, 2), (handle.id.bytes, 5))
    async with open_engine(program) as engine:
        with pytest.raises(IntegrityError, match=r"entry 5 .* does not continue the chain"):
            await (await engine.get(handle.id)).result()


# --- EC-23 and EC-24: which key opens, and four mistakes that are told apart
