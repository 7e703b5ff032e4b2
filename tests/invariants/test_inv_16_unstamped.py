"""INV-16: stamps cannot be taken off: with a key, an execution that has none is refused.

Somebody who can write the file needs no key for that, and then nothing would be left to check.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_core.errors import IntegrityError
from tests.engines import OpenEngine
from tests.journals import change, path_of
from tests.tampering import KEYS, RESULT, Written, journal_of, write


def strip(path: Path, execution_id: bytes) -> None:
    """Take every stamp off an execution, and put a forged result in clear into it."""
    change(
        path,
        "UPDATE durable_executions SET key_id = NULL, sealed = 0, stamped = 0, head_hmac = NULL, "
        "anchor_mac = NULL WHERE execution_id = ?",
        execution_id,
    )
    change(path, "UPDATE durable_journal SET hmac = NULL WHERE execution_id = ?", execution_id)
    change(
        path,
        "UPDATE durable_journal SET payload = CAST(x'0000' || x'66666F72676564' AS BLOB) "
        "WHERE execution_id = ? AND entry_kind = 10",
        execution_id,
    )


async def test_an_execution_that_lost_all_its_stamps_is_refused(
    reopened: OpenEngine,
    written: Written,
) -> None:
    """Nothing is left to check it by, and whoever took the stamps off could write what he likes."""
    strip(written.path, written.completed.bytes)
    async with reopened() as engine:
        with pytest.raises(IntegrityError, match=r"no stamps .* set accept_unstamped"):
            await (await engine.get(written.completed)).result()
        with pytest.raises(IntegrityError, match="no stamps"):
            await engine.verify()
        with pytest.raises(IntegrityError, match="no stamps"):
            await engine.verify(written.completed)
        with pytest.raises(IntegrityError, match="no stamps"):
            await engine.start(written.program, to_the_end=True, key="order-1")
        assert (await engine.verify(written.beside)).executions == 1


async def test_a_running_execution_that_lost_all_its_stamps_is_not_resumed(
    reopened: OpenEngine,
    written: Written,
) -> None:
    called = written.steps_called
    strip(written.path, written.running.bytes)
    before = journal_of(written.path)
    async with reopened() as engine:
        with pytest.raises(IntegrityError, match="no stamps"):
            await (await engine.resume(written.running)).result()
        with pytest.raises(IntegrityError, match="no stamps"):
            await engine.cancel(written.running)
    assert written.steps_called == called
    assert journal_of(written.path) == before


async def test_who_began_without_a_key_says_so_and_goes_on(
    open_engine: OpenEngine,
    url: str,
) -> None:
    """That is a setting: the old executions are read as they stand, the new ones have stamps."""
    plain = await write(path_of(url), None, encrypt_payload=False)
    async with open_engine(plain.program, keys=KEYS, recover=False) as engine:
        with pytest.raises(IntegrityError, match="no stamps"):
            await (await engine.get(plain.completed)).result()
    async with open_engine(plain.program, keys=KEYS, accept_unstamped=True) as engine:
        for old in (plain.completed, plain.running, plain.beside):
            assert await (await engine.get(old)).result() == RESULT
        assert await engine.run(plain.program, to_the_end=True, key="new") == RESULT
        report = await engine.verify()
        assert (report.executions, report.unstamped) == (4, 3)
