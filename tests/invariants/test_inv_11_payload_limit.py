"""INV-11: the payload limit holds on write and on read, before any work is done on a payload."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from durable_core import (
    DurableContext,
    EffectClass,
    ExecutionHandle,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.stored import read_input, stored_outcome
from durable_core.errors import (
    ExecutionFailed,
    PayloadTooLarge,
    StepFailed,
)
from durable_core.model.execution import ExecutionRow, Status
from durable_core.registry import Registry
from durable_core.wire.payload import PayloadCodec
from tests.ciphers import CountedCipherPlugin, CountingCipher
from tests.engines import OpenEngine
from tests.journals import begun, opened, path_of, query, result_of, wire_format, writing
from tests.programs import Stage, version

LIMIT = 1024
LARGEST_VALUE = LIMIT - 1 - 3
"""How many bytes a value may have: less its outcome byte and the three in front of its encoding."""


def filled(size: int) -> bytes:
    return bytes(index % 251 for index in range(size))


@step
async def fill(size: int) -> bytes:
    return filled(size)


@step(effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.RERUN)
async def fill_guarded(size: int) -> bytes:
    return filled(size)


@workflow
async def through_steps(ctx: DurableContext, size: int) -> bool:
    plain = await ctx.step(fill, size)
    guarded = await ctx.step(fill_guarded, size)
    return plain == guarded == filled(size)


@workflow
async def as_result(_ctx: DurableContext, size: int) -> bytes:
    return filled(size)


@workflow
async def length(_ctx: DurableContext, data: bytes) -> int:
    return len(data)


def size_on_disk(url: str, kind: int) -> int:
    statement = "SELECT max(length(payload)) FROM durable_journal WHERE entry_kind = ?"
    ((size,),) = query(path_of(url), statement, kind)
    return int(size)


async def test_ec_25_a_result_exactly_at_the_limit_round_trips(
    open_engine: OpenEngine,
    url: str,
) -> None:
    """Live and on replay; with its outcome byte it is as large as a payload may be."""
    async with open_engine(through_steps, max_payload_bytes=LIMIT) as engine:
        assert await engine.run(through_steps, LARGEST_VALUE)
    assert size_on_disk(url, 3) == LIMIT + 42


@pytest.mark.parametrize("function", [fill, fill_guarded], ids=["plain", "guarded"])
async def test_ec_25_one_byte_more_fails_the_step_and_leaves_nothing_open(
    open_engine: OpenEngine,
    url: str,
    function: Any,
) -> None:
    caught: list[StepFailed] = []

    async def body(ctx: DurableContext) -> str:
        try:
            await ctx.step(function, LARGEST_VALUE + 1)
        except StepFailed as error:
            caught.append(error)
        return "went on"

    program = version(body)
    async with open_engine(program, max_payload_bytes=LIMIT) as engine:
        assert await engine.run(program) == "went on"
    assert [error.error_type for error in caught] == ["PayloadTooLarge"]
    kinds = [kind for (kind,) in query(path_of(url), "SELECT entry_kind FROM durable_journal")]
    assert kinds.count(3) == 0
    assert kinds.count(4) == 1


async def test_ec_25_a_replayed_result_exactly_at_the_limit_is_the_same(
    open_engine: OpenEngine,
) -> None:
    stage = Stage()

    async def body(ctx: DurableContext) -> bool:
        value = await ctx.step(fill, LARGEST_VALUE)
        stage.calls.append("live" if not stage.calls else "replayed")
        if not stage.gate.is_set():
            await stage.pause()
        return value == filled(LARGEST_VALUE)

    program = version(body)
    async with open_engine(program, max_payload_bytes=LIMIT) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, max_payload_bytes=LIMIT) as engine:
        assert await (await engine.get(handle.id)).result() is True
    assert stage.calls == ["live", "replayed"]


async def test_ec_25_a_workflows_result_at_the_limit_and_one_byte_over(
    open_engine: OpenEngine,
) -> None:
    async with open_engine(as_result, max_payload_bytes=LIMIT) as engine:
        assert await engine.run(as_result, LARGEST_VALUE) == filled(LARGEST_VALUE)
        handle = await engine.start(as_result, LARGEST_VALUE + 1)
        with pytest.raises(ExecutionFailed) as raised:
            await handle.result()
        assert raised.value.error_type == "PayloadTooLarge"
        assert await handle.status() is Status.FAILED


async def test_ec_25_arguments_at_the_limit_survive_a_restart_and_one_byte_over_is_refused(
    open_engine: OpenEngine,
    url: str,
) -> None:
    stage = Stage()

    async def body(_ctx: DurableContext, data: bytes) -> int:
        if not stage.gate.is_set():
            await stage.pause()
        return len(data)

    program = workflow(name="program")(body)
    largest = filled(LIMIT - 1 - 3)
    async with open_engine(program, max_payload_bytes=LIMIT) as engine:
        handle: ExecutionHandle[int] = await engine.start(program, largest)
        with pytest.raises(PayloadTooLarge):
            await engine.start(program, largest + b"x")
        await stage.reached.wait()
    assert size_on_disk(url, 1) == LIMIT + 42
    stage.gate.set()
    async with open_engine(program, max_payload_bytes=LIMIT) as engine:
        assert await (await engine.get(handle.id)).result() == len(largest)
        assert len(await engine.list()) == 1, "the refused one left nothing"


async def test_ec_25_what_the_writer_is_handed_is_checked_before_any_work(url: str) -> None:
    cipher = CountingCipher()
    wire = wire_format(max_payload_bytes=LIMIT, cipher=cipher)
    async with opened(url) as backend, writing(backend, wire) as journal:
        execution_id = await begun(journal)
        await journal.append_acked(result_of(execution_id, 0, filled(LIMIT)))
        sealed = len(cipher.sealed)
        too_large = result_of(execution_id, 1, filled(LIMIT + 1))
        with pytest.raises(PayloadTooLarge, match="1025 bytes exceeds max_payload_bytes = 1024"):
            await journal.append_acked(too_large)
        with pytest.raises(PayloadTooLarge, match="1025 bytes exceeds max_payload_bytes = 1024"):
            journal.append_buffered(too_large)
        assert len(cipher.sealed) == sealed
        await journal.append_acked(result_of(execution_id, 1, filled(1)))
        (row,) = await backend.list_executions()
        assert row.entry_count == 3, "a refused entry takes no number"


@contextmanager
def decodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What the decoder, which goes on working, is asked to decode."""
    asked: list[object] = []
    decode = PayloadCodec.decode

    def counted(codec: PayloadCodec, data: bytes, *args: Any) -> object:
        asked.append(data)
        return decode(codec, data, *args)

    with monkeypatch.context() as patch:
        patch.setattr(PayloadCodec, "decode", counted)
        yield asked


@pytest.mark.parametrize("encrypt", [True, False], ids=["sealed", "plain"])
async def test_nfr_11_a_stored_payload_above_the_limit_reaches_neither_cipher_nor_decoder(
    open_engine: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
    *,
    encrypt: bool,
) -> None:
    """Written under a larger limit, read under a smaller one, for arguments and for results."""
    plugin = CountedCipherPlugin()
    settings: dict[str, Any] = {
        "registry": Registry.of(plugin),
        "cipher": "counting",
        "encrypt_payload": encrypt,
    }
    async with open_engine(as_result, length, **settings) as engine:
        large_result = await engine.start(as_result, 4 * LIMIT)
        await large_result.result()
        large_arguments = await engine.start(length, filled(4 * LIMIT))
        await large_arguments.result()
    plugin.cipher.opened.clear()
    with decodings(monkeypatch) as decoded:
        async with open_engine(**settings, max_payload_bytes=LIMIT) as engine:
            with pytest.raises(PayloadTooLarge, match="max_payload_bytes = 1024"):
                await (await engine.get(large_result.id)).result()
            with pytest.raises(PayloadTooLarge, match="max_payload_bytes = 1024"):
                await read_input(engine.parts, await row_of(engine, large_arguments))
            assert plugin.cipher.opened == []
            assert decoded == []
            outcome = await stored_outcome(engine.parts, await row_of(engine, large_arguments))
            assert outcome.value == 4 * LIMIT, "its result is small"
            assert (len(plugin.cipher.opened), len(decoded)) == (int(encrypt), 1)


async def row_of(engine: Any, handle: ExecutionHandle[Any]) -> ExecutionRow:
    row: ExecutionRow | None = await engine.parts.backend.load(handle.id.bytes)
    assert row is not None
    return row


async def test_inv_11_a_replay_stops_at_a_payload_above_the_limit(
    open_engine: OpenEngine,
) -> None:
    """The step is not run again, and the execution is not failed: it goes on under a larger one."""
    stage = Stage()

    async def body(ctx: DurableContext) -> int:
        value = await ctx.step(fill, 4 * LIMIT)
        stage.calls.append("past the step")
        if not stage.gate.is_set():
            await stage.pause()
        return len(value)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        await stage.reached.wait()
    stage.gate.set()
    async with open_engine(program, max_payload_bytes=LIMIT) as engine:
        resumed = await engine.get(handle.id)
        with pytest.raises(PayloadTooLarge):
            await resumed.result()
        assert await resumed.status() is Status.RUNNING
        assert stage.calls == ["past the step"]
    async with open_engine(program) as engine:
        assert await (await engine.get(handle.id)).result() == 4 * LIMIT
