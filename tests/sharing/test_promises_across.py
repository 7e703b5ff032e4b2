"""Promises and signals between processes: who waits, who answers, and who comes too late."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from attrs import frozen

from tests.engines import OpenEngine
from tests.sharing import promised
from tests.sharing.commanding import Operator
from tests.sharing.promised import SIGNALS
from tests.unit.engine.processes import Child, child
from tests.unit.engine.promising import Asked

pytestmark = pytest.mark.dialects
PROGRAM = Path(promised.__file__)


@frozen
class Waiting:
    """A process whose workflow waits for a promise."""

    owner: Child
    execution: str
    promise: str
    token: str


@asynccontextmanager
async def waiting(url: str) -> AsyncIterator[Waiting]:
    async with child("wait", url, program=PROGRAM) as owner:
        yield Waiting(owner, *(await owner.says("promise")).split(" "))


@asynccontextmanager
async def answering(url: str, promise: str, token: str) -> AsyncIterator[Child]:
    """A process that has nothing but URL, key and token."""
    async with child("answer", url, promise, program=PROGRAM) as outside:
        outside.hear(token)
        yield outside


@pytest.mark.parametrize(
    ("said", "comes"), [('resolve "yes"', "yes"), ("reject not today", "rejected: not today")]
)
async def test_who_waits_in_one_process_is_answered_by_another(
    url: str, said: str, comes: str
) -> None:
    async with waiting(url) as one, answering(url, one.promise, one.token) as outside:
        outside.hear(said)
        await outside.says("done")
        assert await one.owner.says("answer") == comes


async def test_answered_while_nothing_runs(url: str) -> None:
    """By two processes, of which the second one loses and learns so; then somebody runs it."""
    async with waiting(url) as one:
        await one.owner.kill()
    async with (
        answering(url, one.promise, one.token) as outside,
        answering(url, one.promise, one.token) as second,
    ):
        outside.hear('resolve "first"')
        await outside.says("done")
        second.hear('resolve "second"')
        assert await second.says("error") == "PromiseAlreadyResolved"
        second.hear('resolve "first"')
        await second.says("done")
        async with waiting(url) as again:
            assert (again.promise, again.token) == (one.promise, one.token)
            assert await again.owner.says("answer") == "first"
            for late in ('resolve "second"', "reject no"):
                second.hear(late)
                assert await second.says("error") == "PromiseAlreadyResolved"


async def test_ec_34_another_token_is_refused_whatever_is_known(url: str) -> None:
    async with waiting(url) as one, answering(url, one.promise, "00" * 32) as outside:
        outside.hear('resolve "taken"')
        assert await outside.says("error") == "InvalidResolverToken"
        async with answering(url, one.promise, one.token) as rightful:
            rightful.hear('resolve "given"')
            await rightful.says("done")
        assert await one.owner.says("answer") == "given"
        outside.hear('resolve "given"')
        assert await outside.says("error") == "InvalidResolverToken"


@pytest.mark.parametrize("lives", [True, False], ids=["beside its owner", "while nothing runs"])
async def test_answered_by_an_operator(durable: Operator, url: str, *, lives: bool) -> None:
    async with waiting(url) as one:
        token = {"DURABLE_PROMISE_TOKEN": one.token}
        if not lives:
            await one.owner.kill()
        told = await durable("resolve", one.promise, '"by hand"', **token)
        assert told == {"promise_id": one.promise, "outcome": "resolved"}
        if lives:
            assert await one.owner.says("answer") == "by hand"
        code, out, err = await durable.run("resolve", one.promise, "--reject", "no", **token)
        assert (code, out) == (1, "")
        assert "resolved already, with another value" in err
    if not lives:
        async with waiting(url) as again:
            assert await again.owner.says("answer") == "by hand"


async def test_signals_of_another_process_come_in_order_once(url: str) -> None:
    """The first one while the owner runs, the others while nothing does."""
    async with waiting(url) as one, answering(url, one.promise, one.token) as outside:
        outside.hear('resolve "yes"')
        await outside.says("done")
        await one.owner.says("answer")
        async with child("send", url, one.execution, program=PROGRAM) as sender:
            for number in range(SIGNALS):
                sender.hear(str(number))
                await sender.says("done")
                if not number:
                    await one.owner.kill()
            async with waiting(url) as again:
                assert json.loads(await again.owner.says("result")) == ["yes", *range(SIGNALS)]
                sender.hear("7")
                assert await sender.says("error") == "ExecutionTerminal"
                outside.hear('resolve "yes"')
                await outside.says("done")
                outside.hear('resolve "no"')
                assert await outside.says("error") == "PromiseAlreadyResolved"


@pytest.mark.postgres
async def test_a_server_that_notifies_needs_no_poll(open_engine: OpenEngine, url: str) -> None:
    asked = Asked()
    async with open_engine(asked.program) as engine:
        handle = await engine.start(asked.program)
        promise = await asked.out.get()
        engine._watch._polls_at = engine._watch._looks_at = math.inf
        async with answering(url, str(promise.id), promise.token.hex()) as outside:
            outside.hear('resolve "told"')
            await outside.says("done")
            assert await handle.result(20) == "told"
