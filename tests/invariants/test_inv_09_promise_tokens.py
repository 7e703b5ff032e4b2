"""INV-9: a promise's id is no capability; only its token resolves it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from durable_core import DurableContext, DurablePromise
from durable_core.contracts import MasterKeys
from durable_core.errors import ConfigError, InvalidResolverToken
from durable_core.wire.keys import ExecutionKeys, Keyring
from durable_core.wire.promises import fits, promise_id, promise_token, token_hash
from tests.engines import OpenEngine
from tests.programs import version

ONE, OTHER = uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes


def keys_of(byte: int) -> ExecutionKeys:
    return Keyring.derive(MasterKeys(1, {1: bytes([byte]) * 32})).execution_keys(1)


def test_a_token_is_bound_to_the_key_the_promise_and_the_execution() -> None:
    promise, another = (promise_id(ONE, "", "approval", count).bytes for count in (0, 1))
    tokens = {
        promise_token(keys_of(key), execution, each)
        for key in (1, 2)
        for execution in (ONE, OTHER)
        for each in (promise, another)
    }
    assert len(tokens) == 8
    assert {len(token) for token in tokens} == {32}


def test_a_kept_hash_fits_one_token_at_one_place() -> None:
    promise = promise_id(ONE, "", "approval", 0).bytes
    token = promise_token(keys_of(1), ONE, promise)
    kept = token_hash(token, ONE, promise)
    assert fits(token, kept, ONE, promise)
    assert not fits(token, kept, OTHER, promise)
    assert not fits(token, kept, ONE, OTHER)
    assert not fits(token[:-1], kept, ONE, promise)
    assert not fits(b"", kept, ONE, promise)
    assert token not in kept


def test_ids_differ_by_execution_branch_name_and_count() -> None:
    ids = {
        promise_id(execution, branch, name, count)
        for execution in (ONE, OTHER)
        for branch in ("", "0.1")
        for name in ("a", "b")
        for count in (0, 1)
    }
    assert len(ids) == 16


def test_without_a_key_there_is_no_token() -> None:
    with pytest.raises(ConfigError, match="a promise needs a key"):
        promise_token(Keyring.derive(None).execution_keys(None), ONE, OTHER)


async def test_what_lies_on_disk_resolves_nothing(open_engine: OpenEngine) -> None:
    out: asyncio.Queue[DurablePromise[Any]] = asyncio.Queue()

    async def body(ctx: DurableContext) -> object:
        promise = await ctx.promise(str, name="approval")
        out.put_nowait(promise)
        return await ctx.await_promise(promise)

    program = version(body)
    async with open_engine(program) as engine:
        handle = await engine.start(program)
        promise = await out.get()
        (kept,) = await engine.parts.backend.promises_of(handle.id.bytes)
        for known in (kept.token_hash, promise.id.bytes * 2, handle.id.bytes + promise.id.bytes):
            with pytest.raises(InvalidResolverToken):
                await engine.resolve(promise.id, known, "taken")
        await engine.resolve(promise.id, promise.token, "given")
        assert await handle.result(20) == "given"
