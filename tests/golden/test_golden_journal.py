"""Journals of version 1 stay readable, to the last byte of every stamp and value.

Each test works on a copy. The files were written by `make_journal.py`, once.
"""

from __future__ import annotations

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableConfig, DurableEngine
from durable_core.errors import AmbiguousEffect, ExecutionCancelled, ExecutionFailed
from durable_core.model.execution import Status
from tests.golden.make_journal import (
    BOTH_KEYS,
    KEYED,
    ORDER,
    UNKEYED,
    Program,
    Receipt,
    fixed,
    program,
    write_keyed,
    write_unkeyed,
)
from tests.journals import query, sqlite_url

STAMPS = {
    "completed": [
        "c35ccad12486027d",
        "f615f2a337d6a533",
        "56ab7019e2f5a1e8",
        "04a7be23079fb985",
        "193548769fbf3d48",
        "b65f9ba89f047cb0",
    ],
    "cancelled": [
        "a1d2dce928887cf7",
        "faa2bfb075b91337",
        "eb50c8f2ff943028",
        "01174ad3d81c7599",
        "bd4d9ed493402a26",
    ],
    "failed": [
        "8652d45323866692",
        "a6337d955aaea00b",
        "3624a3d1bc5dbb17",
    ],
    "blocked": [
        "293351c6db5571ba",
        "3cdaf76c73303de6",
    ],
    "resumed": [
        "a06e290484784bed",
        "bc844725463190f1",
        "617d13a906a3777a",
        "0a85a51311b08060",
        "24651f07cc336bed",
        "a439f595a6f9540f",
        "9a288ed55b2cc80c",
    ],
    "plain": [
        "55128793b46b48a4",
        "dcb40f07c3a1b9ab",
        "5a5a0494bc928b3d",
        "4e0fcaa39320af71",
        "f8ca468566fa487f",
        "cbf41c63c9c0504e",
    ],
    "rotated": [
        "e77418f4240f2baa",
        "a661ae8ab599b179",
        "79dae523c58e8c64",
        "cd987cb6046e3ddb",
        "9a5d1178b5d1a9ac",
        "15c1956182a14403",
    ],
    "running": [
        "e90bf4860d1dc5da",
        "4df422b91a1f1183",
        "d3988e39811a44b7",
        "1ffb2df41585ba54",
    ],
}
ANCHORS = {
    "completed": "5e6628301985f627b3bb2b77cc231ce2b15128c1f887a9402f1068908b6fc5a3",
    "cancelled": "67f0d05039e9be560ca81631fb5c6185c1297f1eb5742a870682c5ef20c96f6c",
    "failed": "8f7da6416f3a2a394c62092fe01cae6aeef44b9db2861ba41c5ef277803d93d1",
    "blocked": "db9df39cb19ee46d095a74161e8b8bc99d6a2716cbd6fb853759e6dc86caebe0",
    "resumed": "1f2404d44580a1167f65a49b1826df8b10fbfb70df5245a7075ef0655a25222c",
    "plain": "947ecbea01920f11e9d1fa0a91bd3e9b0eef39c2ddbd8f1b86927a0e966dac85",
    "rotated": "0c198470617d10e14353dc4a643f8726e8ffe76967c1ce15a8dc7079d0dcca6a",
    "running": "ab91184be22a48cd52e5c44ddbc7888d51e1ea14066a6d4ff5e6ee1e923564b9",
}

DIGEST = "7243d7026c356fbbc33a23bf676dedc90a1082bba72a0f9fc9e074c5c1de40a1"

PAYMENT = "0197754b-1800-7abc-8def-0123456789ab:1999"
RECEIPT = Receipt(ORDER, PAYMENT, 8)


class Golden:
    """A copy of a golden file, and engines that register its workflows anew."""

    def __init__(self, folder: Path, original: Path, keys: str | None) -> None:
        self.path = folder / original.name
        self.program: Program = program()
        self.program.stage.gate.set()
        self._keys = keys
        shutil.copyfile(original, self.path)

    @property
    def calls(self) -> list[str]:
        """The steps whose functions were called."""
        return self.program.stage.calls

    def opened(self) -> Any:
        """An engine that leaves alone what it is not asked for."""
        return DurableEngine.open(
            sqlite_url(self.path),
            workflows=self.program.workflows,
            config=DurableConfig(encrypt_payload=self._keys is not None),
            keys=self._keys,
            recover=False,
        )

    async def named(self, engine: DurableEngine, key: str) -> Any:
        """The handle of the execution with that key."""
        (found,) = [row for row in await engine.list() if row.execution_key == key]
        return await engine.get((found.workflow, key))


@pytest.fixture
def keyed(tmp_path: Path) -> Golden:
    return Golden(tmp_path, KEYED, BOTH_KEYS)


@pytest.fixture
def unkeyed(tmp_path: Path) -> Golden:
    return Golden(tmp_path, UNKEYED, None)


@pytest.mark.parametrize("path", [KEYED, UNKEYED], ids=lambda path: path.name)
def test_the_files_stay_small(path: Path) -> None:
    assert 0 < path.stat().st_size < 200_000


async def test_an_open_brings_it_to_the_newest_version_of_the_schema(keyed: Golden) -> None:
    versions = "SELECT version FROM durable_schema ORDER BY version"
    assert query(keyed.path, versions) == [(1,)]
    async with keyed.opened() as engine:
        (row, *_) = await engine.list()
        assert await engine.parts.backend.promises_of(row.execution_id) == []
        assert await engine.parts.backend.timers_of(row.execution_id) == []
    assert query(keyed.path, versions) == [(1,), (2,), (3,)]


async def test_every_stamp_is_the_one_that_was_written(keyed: Golden) -> None:
    """Read with SQL, and computed anew from the rows by verifying."""
    statement = (
        "SELECT execution_key, lower(hex(hmac)) FROM durable_journal "
        "JOIN durable_executions USING (execution_id) ORDER BY execution_key, entry_no"
    )
    stamps: dict[str, list[str]] = {}
    for key, stamp in query(keyed.path, statement):
        assert len(stamp) == 64
        stamps.setdefault(key, []).append(stamp[:16])
    assert stamps == STAMPS
    statement = "SELECT execution_key, lower(hex(anchor_mac)) FROM durable_executions"
    assert dict(query(keyed.path, statement)) == ANCHORS
    async with keyed.opened() as engine:
        report = await engine.verify()
    assert (report.executions, report.entries, report.unstamped) == (8, 39, 0)
    assert report.digest == DIGEST


@pytest.mark.parametrize("key", ["completed", "plain", "rotated"])
async def test_a_result_decodes_to_what_it_was(keyed: Golden, key: str) -> None:
    """Sealed under the first key, not sealed, and sealed under the second key."""
    async with keyed.opened() as engine:
        receipt = await (await keyed.named(engine, key)).result()
    assert receipt == RECEIPT
    order = receipt.order
    assert type(order.tags) is frozenset
    assert (str(order.total), order.placed.utcoffset()) == ("19.990", timedelta(0))
    assert repr(order.rates) == "(0.19, 1e+300, -0.0)"
    assert keyed.calls == []


async def test_a_failure_keeps_its_type_and_message(keyed: Golden) -> None:
    async with keyed.opened() as engine:
        with pytest.raises(ExecutionFailed) as raised:
            await (await keyed.named(engine, "failed")).result()
    assert raised.value.error_type == "StepFailed"
    assert raised.value.message == "step 'decline' failed with Declined: no 0.10"


async def test_a_cancelled_execution_is_cancelled(keyed: Golden) -> None:
    async with keyed.opened() as engine:
        with pytest.raises(ExecutionCancelled):
            await (await keyed.named(engine, "cancelled")).result()


async def test_the_second_of_two_generations_has_the_result(keyed: Golden) -> None:
    async with keyed.opened() as engine:
        handle = await keyed.named(engine, "resumed")
        assert await handle.result() == f"{ORDER.number}:5"
        (row,) = [row for row in await engine.list() if row.execution_key == "resumed"]
        assert row.generation == 1


async def test_an_open_intent_is_settled_by_an_operator(keyed: Golden) -> None:
    async with keyed.opened() as engine:
        handle = await keyed.named(engine, "blocked")
        with pytest.raises(AmbiguousEffect, match="step 0 'wire'"):
            await handle.result()
        await engine.settle(handle.id, "0", ran=True, value="wired by hand")
        assert await handle.result() == "wired by hand"
        await engine.verify()
    assert keyed.calls == []


async def test_an_execution_halfway_goes_on_where_it_stood(keyed: Golden) -> None:
    """What is journaled is not run again: the fingerprints of its arguments still match."""
    async with keyed.opened() as engine:
        handle = await keyed.named(engine, "running")
        assert await handle.status() is Status.RUNNING
        assert await (await engine.resume(handle.id)).result() == RECEIPT
        await engine.verify()
    assert keyed.calls == ["count"]


async def test_equal_arguments_find_the_execution_of_their_key(keyed: Golden) -> None:
    """Arguments are compared as bytes, so they must be encoded as they were."""
    async with keyed.opened() as engine:
        again = await engine.start(keyed.program.checkout, ORDER, key="completed")
        assert again.id == (await keyed.named(engine, "completed")).id
    assert keyed.calls == []


async def test_a_journal_without_keys_is_read_and_goes_on(unkeyed: Golden) -> None:
    async with unkeyed.opened() as engine:
        report = await engine.verify()
        assert (report.executions, report.entries, report.unstamped) == (2, 10, 2)
        assert await (await unkeyed.named(engine, "completed")).result() == RECEIPT
        handle = await unkeyed.named(engine, "running")
        assert await (await engine.resume(handle.id)).result() == RECEIPT
    assert unkeyed.calls == ["count"]


TABLES = [
    "durable_executions",
    "durable_execution_keys",
    "durable_journal",
    "durable_keys",
    "durable_inbox",
]


@pytest.mark.parametrize(
    ("original", "write"),
    [(KEYED, write_keyed), (UNKEYED, write_unkeyed)],
    ids=["keyed", "unkeyed"],
)
def test_this_version_writes_the_same_rows(tmp_path: Path, original: Path, write: Any) -> None:
    """So that a change of the format is seen here, and not only where an old file is read."""
    path = tmp_path / "anew.db"
    with fixed() as source:
        asyncio.run(write(path, source))
    for table in TABLES:
        statement = f"SELECT * FROM {table}"
        assert query(path, statement) == query(original, statement), table
