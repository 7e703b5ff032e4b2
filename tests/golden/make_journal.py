"""Writes the journals that every later version must read; run once for each format version.

`python -m tests.golden.make_journal` from the project's folder writes `journal_v1.db` and
`journal_v1_unkeyed.db` beside this file. They are kept as they are: a version that cannot read
them any more breaks the promise that stands in `test_golden_journal.py`. So the workflows below are
part of the journals, and keep their names, steps and arguments. Time, ids and nonces are fixed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from sqlite3 import connect
from typing import Any
from unittest import mock
from uuid import UUID

from attrs import define, frozen

from durable_aead.xaes import Xaes256Gcm
from durable_core import (
    DurableConfig,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    step,
    workflow,
)
from durable_core.engine.definition import Workflow
from durable_core.errors import AmbiguousEffect, ExecutionFailed
from tests.journals import MASTER, OTHER_MASTER, key_text, sqlite_url
from tests.programs import Stage

HERE = Path(__file__).parent
KEYED = HERE / "journal_v1.db"
UNKEYED = HERE / "journal_v1_unkeyed.db"

FIRST_KEY = key_text((1, MASTER))
BOTH_KEYS = key_text((2, OTHER_MASTER), (1, MASTER))

STARTED_MS = 1_750_000_000_000


@frozen
class Order:
    """What the workflows are started with: one field for each sort of value."""

    number: UUID
    placed: datetime
    total: Decimal
    items: dict[str, int]
    tags: frozenset[str]
    note: bytes
    rates: tuple[float, ...] = (0.19,)
    parent: Order | None = None


@frozen
class Receipt:
    """What a workflow returns."""

    order: Order
    payment: str
    pages: int


ORDER = Order(
    number=UUID("0197754b-1800-7abc-8def-0123456789ab"),
    placed=datetime(2025, 6, 15, 15, 6, 40, 250_000, tzinfo=UTC),
    total=Decimal("19.990"),
    items={"ink": 2, "größe": 1},
    tags=frozenset({"gift", "b2b"}),
    note=b"\x00\xff",
    rates=(0.19, 1e300, -0.0),
    parent=Order(
        number=UUID(int=1),
        placed=datetime(1969, 7, 20, tzinfo=UTC),
        total=Decimal(-1),
        items={},
        tags=frozenset(),
        note=b"",
    ),
)


class Declined(Exception):
    """What a step fails with."""


@define
class Program:
    """The workflows, and where they wait for whoever runs them."""

    stage: Stage
    checkout: Workflow[..., Any]
    refund: Workflow[..., Any]
    transfer: Workflow[..., Any]
    retried: Workflow[..., Any]

    @property
    def workflows(self) -> list[Workflow[..., Any]]:
        """All of them."""
        return [self.checkout, self.refund, self.transfer, self.retried]


@frozen
class Steps:
    """The steps of all workflows."""

    charge: Any
    render: Any
    count: Any
    decline: Any
    wire: Any


def _steps(stage: Stage) -> Steps:
    @step(name="charge", effect=EffectClass.EXACTLY_ONCE_GUARDED, on_ambiguous=OnAmbiguous.SKIP)
    async def charge(order: Order, cents: int) -> str:
        stage.calls.append("charge")
        return f"{order.number}:{cents}"

    @step(name="render")
    def render(order: Order) -> bytes:
        stage.calls.append("render")
        return b"%PDF" * len(order.items)

    @step(name="count", effect=EffectClass.IDEMPOTENT)
    async def count(pages: bytes) -> int:
        stage.calls.append("count")
        return len(pages)

    @step(name="decline")
    async def decline(amount: Decimal) -> None:
        stage.calls.append("decline")
        message = f"no {amount}"
        raise Declined(message)

    @step(
        name="wire",
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.MONEY_MOVING,
        on_ambiguous=OnAmbiguous.FAIL,
    )
    async def wire(cents: int) -> str:
        stage.calls.append("wire")
        await stage.pause()
        return f"wired {cents}"

    return Steps(charge, render, count, decline, wire)


def program() -> Program:
    """The workflows anew; each call of a step's function is noted in `stage.calls`."""
    stage = Stage()
    steps = _steps(stage)

    @workflow(name="checkout")
    async def checkout(ctx: DurableContext, order: Order, *, wait: bool = False) -> Receipt:
        payment = await ctx.step(steps.charge, order, 1999)
        pages = await ctx.step(steps.render, order)
        if wait and not stage.gate.is_set():
            await stage.pause()
        return Receipt(order, payment, await ctx.step(steps.count, pages))

    @workflow(name="refund")
    async def refund(ctx: DurableContext, amount: Decimal) -> None:
        await ctx.step(steps.decline, amount)

    @workflow(name="transfer")
    async def transfer(ctx: DurableContext, cents: int) -> str:
        wired: str = await ctx.step(steps.wire, cents)
        return wired

    @workflow(name="retried")
    async def retried(ctx: DurableContext, order: Order) -> str:
        payment: str = await ctx.step(steps.charge, order, 5)
        if not stage.gate.is_set():
            raise Declined
        return payment

    return Program(stage, checkout, refund, transfer, retried)


@define
class Fixed:
    """A clock and a source of bytes that are the same in every run."""

    ms: int = STARTED_MS
    drawn: int = 0

    def time_ns(self) -> int:
        """The time in nanoseconds."""
        return self.ms * 1_000_000

    def random(self, size: int) -> bytes:
        """Bytes that look random and never repeat."""
        self.drawn += 1
        return hashlib.shake_128(b"golden v1 %d" % self.drawn).digest(size)


@contextmanager
def fixed() -> Iterator[Fixed]:
    """Fixes the clock, the ids and the nonces of whatever is opened inside."""
    source = Fixed()
    with ExitStack() as stack:
        stack.enter_context(mock.patch("durable_core.clock.time.time_ns", source.time_ns))
        stack.enter_context(mock.patch("durable_core.ids.os.urandom", source.random))
        cipher = Xaes256Gcm(source.random)
        stack.enter_context(mock.patch("durable_aead.plugin.Xaes256Gcm", return_value=cipher))
        yield source


@define
class Writer:
    """Opens one engine after the other on one file; none of them recovers by itself."""

    path: Path
    source: Fixed

    def opened(self, workflows: list[Workflow[..., Any]], keys: str | None, **settings: Any) -> Any:
        """An engine, a minute later than the one before."""
        self.source.ms += 60_000
        return DurableEngine.open(
            sqlite_url(self.path),
            workflows=workflows,
            config=DurableConfig(**settings),
            keys=keys,
            recover=False,
        )


async def write_keyed(path: Path, source: Fixed) -> None:
    """Every status, two generations, two keys, sealed and not, all stamped."""
    writer = Writer(path, source)
    await _completed_failed_and_cancelled(writer)
    await _blocked(writer)
    await _two_generations(writer)
    await _completed(writer, "plain", FIRST_KEY, encrypt_payload=False)
    await _completed(writer, "rotated", BOTH_KEYS)
    await _running(writer, FIRST_KEY)


async def write_unkeyed(path: Path, source: Fixed) -> None:
    """One that is finished and one that is not, without a key."""
    writer = Writer(path, source)
    await _completed(writer, "completed", None, encrypt_payload=False)
    await _running(writer, None, encrypt_payload=False)


async def _completed(writer: Writer, key: str, keys: str | None, **settings: Any) -> None:
    own = program()
    async with writer.opened(own.workflows, keys, **settings) as engine:
        await engine.run(own.checkout, ORDER, key=key)


async def _completed_failed_and_cancelled(writer: Writer) -> None:
    own = program()
    async with writer.opened(own.workflows, FIRST_KEY) as engine:
        await engine.run(own.checkout, ORDER, key="completed")
        with suppress(ExecutionFailed):
            await engine.run(own.refund, Decimal("0.10"), key="failed")
        handle = await engine.start(own.checkout, ORDER, wait=True, key="cancelled")
        await own.stage.reached.wait()
        await engine.flush()
        await handle.cancel()


async def _blocked(writer: Writer) -> None:
    own = program()
    async with writer.opened(own.workflows, FIRST_KEY, close_timeout_ms=1) as engine:
        handle = await engine.start(own.transfer, 100_000, key="blocked")
        await own.stage.reached.wait()
    async with writer.opened(own.workflows, FIRST_KEY) as engine:
        with suppress(AmbiguousEffect):
            await (await engine.get(handle.id)).result()


async def _two_generations(writer: Writer) -> None:
    own = program()
    async with writer.opened(own.workflows, FIRST_KEY) as engine:
        handle = await engine.start(own.retried, ORDER, key="resumed")
        with suppress(ExecutionFailed):
            await handle.result()
        own.stage.gate.set()
        await (await engine.resume(handle.id)).result()


async def _running(writer: Writer, keys: str | None, **settings: Any) -> None:
    own = program()
    async with writer.opened(own.workflows, keys, **settings) as engine:
        await engine.start(own.checkout, ORDER, wait=True, key="running")
        await own.stage.reached.wait()
        await engine.flush()


def main() -> None:
    """Write both files; one that is there already is not touched."""
    for path, write in ((KEYED, write_keyed), (UNKEYED, write_unkeyed)):
        if path.exists():
            message = f"{path} exists; a journal of a past version is never written again"
            raise SystemExit(message)
        with fixed() as source:
            asyncio.run(write(path, source))
        with closing(connect(path, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        path.with_name(f"{path.name}.owners").rmdir()


if __name__ == "__main__":
    main()
