"""Which key opens what, and the mistakes with keys and stamps that are told apart."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from typing import Any

import pytest

from durable_core import DurableContext, DurableEngine
from durable_core.errors import (
    ConfigError,
    DurableError,
    EntryRejected,
    IntegrityError,
)
from durable_core.ids import ExecutionId
from tests.engines import OpenEngine
from tests.journals import MASTER, OTHER_MASTER, key_text, path_of, query
from tests.programs import version
from tests.tampering import (
    ENTRIES,
    KEYS,
    RESULT,
    Written,
    deleted,
    edited,
    inserted,
    journal_of,
    write,
)


async def echo(_: DurableContext) -> str:
    return "echo"


async def test_ec_23_a_previous_key_opens_and_the_current_one_seals(
    reopened: OpenEngine,
    written: Written,
) -> None:
    async with reopened(keys=key_text((2, OTHER_MASTER), (1, MASTER))) as engine:
        assert await (await engine.get(written.completed)).result() == RESULT
        assert await (await engine.resume(written.running)).result() == RESULT
        await engine.verify()
    statement = "SELECT payload FROM durable_journal WHERE execution_id = ? AND payload NOT NULL"
    sealed_by = [blob[1] for (blob,) in query(written.path, statement, written.running.bytes)]
    assert sealed_by == [1, 1, 1, 1, 1, 2, 2]


async def test_ec_23_a_key_that_is_not_there_is_named(
    reopened: OpenEngine,
    written: Written,
) -> None:
    async with reopened(keys=key_text((2, OTHER_MASTER))) as engine:
        for refused in (
            (await engine.get(written.completed)).result(),
            engine.resume(written.running),
            engine.verify(),
        ):
            with pytest.raises(ConfigError, match="key id 1 is needed"):
                await refused


async def told(
    engine_context: AbstractAsyncContextManager[DurableEngine],
    execution_id: ExecutionId,
) -> DurableError:
    """The error of somebody who opens the engine and wants the result."""
    with pytest.raises(DurableError) as raised:
        async with engine_context as engine:
            await (await engine.get(execution_id)).result(timeout=20)
    return raised.value


async def test_ec_24_four_mistakes_are_four_errors(reopened: OpenEngine, written: Written) -> None:
    execution_id = written.completed
    no_keys = await told(reopened(keys=None, encrypt_payload=False), execution_id)
    other_bytes = await told(reopened(keys=key_text((1, OTHER_MASTER))), execution_id)
    edited("hmac", "NULL", 4)(written.path, execution_id.bytes)
    unstamped = await told(reopened(), execution_id)
    edited("payload", "CAST(x'0000f6' AS BLOB)", 2)(written.path, execution_id.bytes)
    plain = await told(reopened(), execution_id)
    assert type(no_keys) is ConfigError
    assert "is sealed and no key is configured" in str(no_keys)
    assert type(other_bytes) is ConfigError
    assert "key id 1 is configured with other key bytes" in str(other_bytes)
    assert type(unstamped) is IntegrityError
    assert "entry 4" in str(unstamped)
    assert "has no stamp in a stamped execution" in str(unstamped)
    assert type(plain) is IntegrityError
    assert "entry 2" in str(plain)


async def test_ec_24_a_stamped_row_in_an_unstamped_execution_is_refused(
    open_engine: OpenEngine,
    url: str,
) -> None:
    plain = await write(path_of(url), None, encrypt_payload=False)
    edited("hmac", "zeroblob(32)", 2)(plain.path, plain.completed.bytes)
    async with open_engine(plain.program, keys=None, encrypt_payload=False) as engine:
        with pytest.raises(IntegrityError, match="is stamped in an execution that is not"):
            await (await engine.get(plain.completed)).result()


async def test_ec_24_other_bytes_under_a_known_key_id_write_nothing(
    reopened: OpenEngine,
    written: Written,
) -> None:
    before = journal_of(written.path)
    with pytest.raises(ConfigError, match="other key bytes"):
        async with reopened(keys=key_text((1, OTHER_MASTER)), recover=True):
            pass
    assert journal_of(written.path) == before


async def test_a_key_that_nothing_was_written_under_leaves_its_id_free(
    reopened: OpenEngine,
    written: Written,
) -> None:
    """A mistake that only opened the journal is made good by the right key, under the same id."""
    mistake, right = key_text((3, bytes(32)), (1, MASTER)), key_text((3, MASTER), (1, MASTER))
    async with reopened(keys=mistake) as engine:
        assert await (await engine.get(written.completed)).result() == RESULT
    assert query(written.path, "SELECT key_id FROM durable_keys") == [(1,)]
    async with reopened(keys=right) as engine:
        assert await (await engine.resume(written.running)).result() == RESULT
    assert query(written.path, "SELECT key_id FROM durable_keys") == [(1,), (3,)]
    with pytest.raises(ConfigError, match="key id 3 is configured with other key bytes"):
        async with reopened(keys=mistake):
            pass


async def test_of_two_engines_with_other_bytes_for_one_new_id_one_writes(
    open_engine: OpenEngine,
) -> None:
    """What the other one could not write is told by its start."""
    program = version(echo)
    used = "key id 3 has been used with other key bytes"

    async with open_engine(program, keys=key_text((3, MASTER))) as engine:
        async with open_engine(program, keys=key_text((3, OTHER_MASTER))) as second:
            assert await engine.run(program) == "echo"
            with pytest.raises(EntryRejected, match=used):
                await second.start(program)
        assert (await engine.verify()).executions == 1


async def test_a_journal_is_opened_while_somebody_else_holds_its_write_lock(
    reopened: OpenEngine,
    written: Written,
) -> None:
    """Opening a journal that is up to date writes nothing, also under a key that is new to it."""
    with closing(sqlite3.connect(written.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with reopened(keys=key_text((3, bytes(32)), (1, MASTER))) as engine:
            assert await (await engine.get(written.completed)).result() == RESULT
        other.execute("ROLLBACK")


async def test_inv_16_without_encryption_a_key_still_stamps(
    open_engine: OpenEngine,
    url: str,
) -> None:
    """Not sealed, so anybody can read it; stamped, so nobody can change it."""
    plain = await write(path_of(url), KEYS, encrypt_payload=False)
    statement = "SELECT count(*) FROM durable_journal WHERE substr(payload, 1, 1) = x'00'"
    assert query(plain.path, statement) == [(3 * (ENTRIES - 2) + 2,)]
    settings: dict[str, Any] = {"keys": KEYS, "encrypt_payload": False, "recover": False}
    async with open_engine(plain.program, **settings) as engine:
        assert (await engine.verify()).unstamped == 0
    edited("payload", "x'0000f6'", 2)(plain.path, plain.completed.bytes)
    async with open_engine(plain.program, **settings) as engine:
        with pytest.raises(IntegrityError, match=r"entry 2 .* does not continue the chain"):
            await (await engine.get(plain.completed)).result()


async def test_without_any_key_a_row_behind_the_end_and_a_gap_are_still_found(
    open_engine: OpenEngine,
    url: str,
) -> None:
    """What counts and order alone can show."""
    plain = await write(path_of(url), None, encrypt_payload=False)
    inserted(None)(plain.path, plain.completed.bytes)
    deleted(4)(plain.path, plain.running.bytes)
    settings: dict[str, Any] = {"keys": None, "encrypt_payload": False, "recover": False}
    async with open_engine(plain.program, **settings) as engine:
        with pytest.raises(IntegrityError, match="beyond its last one"):
            await (await engine.get(plain.completed)).result()
        with pytest.raises(IntegrityError, match=r"entry 4 .* is missing"):
            await (await engine.resume(plain.running)).result()
        assert await (await engine.resume(plain.beside)).result() == RESULT


async def test_who_cannot_go_on_with_an_execution_does_not_claim_it(
    reopened: OpenEngine,
    written: Written,
) -> None:
    """A claim would keep it from an engine that can."""
    owner = "SELECT owner_id, owner_epoch FROM durable_executions WHERE execution_id = ?"
    other_bytes = key_text((1, OTHER_MASTER), (2, MASTER))
    before = query(written.path, owner, written.running.bytes)
    async with reopened(keys=None, encrypt_payload=False, recover=False) as engine:
        for asked in (engine.resume, engine.cancel):
            with pytest.raises((ConfigError, IntegrityError)):
                await asked(written.running)
    assert query(written.path, owner, written.running.bytes) == before
    with pytest.raises((ConfigError, IntegrityError)):
        async with reopened(keys=other_bytes, recover=False) as engine:
            await engine.resume(written.running)
    assert query(written.path, owner, written.running.bytes) == before
