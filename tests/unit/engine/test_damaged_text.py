"""Text that is no UTF-8 is the trouble of its own row, not of everybody who shares the tables."""

from __future__ import annotations

import pytest

from durable_core import DurableContext
from durable_core.errors import ExecutionCancelled
from durable_core.model.execution import Status
from tests.engines import OpenEngine
from tests.journals import change, path_of, query
from tests.programs import Stage, version

REQUEST = "INSERT INTO durable_inbox VALUES (?, {slot}, {kind}, {payload}, {at})"
DAMAGED = {"slot": "CAST(x'736574746C653AFF' AS TEXT)", "kind": "'settle'", "at": 1}
CANCEL = REQUEST.format(slot="'cancel'", kind="'cancel'", payload="NULL", at=2)


@pytest.mark.parametrize("payload", ["NULL", "x'0000'", "CAST(x'0101' || zeroblob(60) AS BLOB)"])
async def test_a_damaged_request_does_not_stand_before_the_others(
    open_engine: OpenEngine,
    url: str,
    payload: str,
) -> None:
    stage = Stage()

    async def body(_: DurableContext) -> None:
        await stage.pause()

    program = version(body)
    async with open_engine(program) as engine:
        first = await engine.start(program, key="first")
        second = await engine.start(program, key="second")
        damaged = REQUEST.format(payload=payload, **DAMAGED)
        assert change(path_of(url), damaged, first.id.bytes) == 1
        assert change(path_of(url), CANCEL, second.id.bytes) == 1
        with pytest.raises(ExecutionCancelled):
            await second.result()
        assert await first.status() is Status.RUNNING
        while await engine.parts.backend.read_inbox():
            pass
        left = query(path_of(url), "SELECT count(*) FROM durable_inbox WHERE created_at = 1")
        assert left == [(0,)]
        stage.gate.set()
        assert await first.result() is None
