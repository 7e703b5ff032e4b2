"""INV-16: verifying also finds what stands beside the executions: rows, requests and keys of none.

No chain and no anchor covers those tables, and nobody who reads one execution looks at them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_core import DurableConfig
from durable_core.engine.inspection import Check, open_journal
from durable_core.errors import IntegrityError
from durable_core.ids import ExecutionId
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.journals import change, path_of, sqlite_url
from tests.tampering import KEYS, RESULT, Tamper, Written, record, write

DELETED = "DELETE FROM durable_executions WHERE execution_id = ?"
ALIAS = "INSERT INTO durable_execution_keys VALUES ('program', 'order-9', ?)"
REQUEST = "INSERT INTO durable_inbox VALUES (?, {}, {}, {}, 1)"


def run(*statements: str) -> Tamper:
    """Each statement with the execution's id."""

    def tamper(path: Path, execution_id: bytes) -> None:
        for statement in statements:
            assert change(path, statement, execution_id) > 0

    return tamper


def request(slot: str, kind: str, payload: str) -> Tamper:
    return run(REQUEST.format(slot, kind, payload))


STRAYS: dict[str, Tamper] = {
    "the record deleted, its rows and key kept": run(DELETED),
    "the record and the key deleted, the rows kept": run(
        DELETED,
        "DELETE FROM durable_execution_keys WHERE execution_id = ?",
    ),
    "the record and the rows deleted, the key kept": run(
        DELETED,
        "DELETE FROM durable_journal WHERE execution_id = ?",
    ),
    "a second key": run(ALIAS),
    "a request of an unknown kind": request("'cancel'", "'bogus'", "NULL"),
    "a cancel request with a payload": request("'cancel'", "'cancel'", "x'00'"),
    "a cancel request in another slot": request("'settle:1'", "'cancel'", "NULL"),
    "a resume request with a payload": request("'resume'", "'resume'", "x'00'"),
    "a settle request in clear": request("'settle:1'", "'settle'", "x'0000'"),
    "a settle request without a value": request("'settle:1'", "'settle'", "NULL"),
    "a request whose slot is no UTF-8": request(
        "CAST(x'736574746C653AFF' AS TEXT)",
        "'settle'",
        "x'0000'",
    ),
}
RECORDS: dict[str, Tamper] = {
    "an unknown status": record("status", "'bogus'"),
    **{
        f"{column} is no UTF-8": record(column, "CAST(x'FF41' AS TEXT)")
        for column in ("status", "workflow", "execution_key", "kind")
    },
}


@pytest.mark.parametrize("case", STRAYS)
async def test_ec_26_what_belongs_to_no_execution_is_found(
    reopened: OpenEngine,
    written: Written,
    case: str,
) -> None:
    STRAYS[case](written.path, written.completed.bytes)
    async with reopened() as engine:
        with pytest.raises(IntegrityError, match=str(written.completed)):
            await engine.verify()
        with pytest.raises(IntegrityError, match=str(written.completed)):
            await engine.verify(written.completed)
        assert (await engine.verify(written.beside)).executions == 1


@pytest.mark.parametrize("case", RECORDS)
async def test_ec_26_a_record_that_no_list_by_status_has_is_found(
    reopened: OpenEngine,
    written: Written,
    case: str,
) -> None:
    RECORDS[case](written.path, written.completed.bytes)
    async with reopened() as engine:
        assert len(await engine.list()) == 3
        with pytest.raises(IntegrityError):
            await engine.verify()
        with pytest.raises(IntegrityError):
            await (await engine.get(written.completed)).result()
        assert await (await engine.resume(written.running)).result() == RESULT
    async with open_journal(sqlite_url(written.path), DurableConfig(), KEYS) as journal:
        seen = await journal.executions()
        damaged = [one.execution_id for one in seen if one.check is Check.DAMAGED]
        assert damaged == [written.completed]
        with pytest.raises(IntegrityError, match=str(written.completed)):
            await journal.execution(written.completed)


async def test_an_unknown_status_is_found_without_any_key(
    open_engine: OpenEngine,
    url: str,
) -> None:
    plain = await write(path_of(url), None, encrypt_payload=False)
    record("status", "'bogus'")(plain.path, plain.completed.bytes)
    async with open_engine(plain.program, keys="", encrypt_payload=False) as engine:
        with pytest.raises(IntegrityError, match=str(plain.completed)):
            await engine.verify()
        with pytest.raises(IntegrityError):
            await (await engine.get(plain.completed)).status()


async def test_a_request_that_waits_is_no_damage(reopened: OpenEngine, written: Written) -> None:
    request("'cancel'", "'cancel'", "NULL")(written.path, written.running.bytes)
    async with reopened() as engine:
        assert (await engine.verify()).executions == 3


@pytest.mark.parametrize("column", ["workflow", "execution_key", "kind", "owner_id"])
async def test_recovery_takes_the_others_where_a_text_is_damaged(
    reopened: OpenEngine,
    written: Written,
    column: str,
) -> None:
    """One row that is no UTF-8 is the trouble of its own execution, and of no other."""
    record(column, "CAST(x'FF41' AS TEXT)")(written.path, written.running.bytes)
    async with reopened(recover=True) as engine:
        assert await (await engine.get(written.beside)).result() == RESULT
        found = await engine.get(ExecutionId(bytes=written.running.bytes))
        if column == "owner_id":
            # No anchor covers the owner: an owner of that name does not live, so it is resumed.
            assert await found.result() == RESULT
        else:
            with pytest.raises(IntegrityError):
                await engine.verify(written.running)
            assert await found.status() is Status.RUNNING
