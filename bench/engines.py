"""Engines to measure, and the workflows of five steps that they run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from bench.durability import ON_POSTGRES, ON_SQLITE
from bench.journals import KEYS, journal_url
from bench.rounds import Plan
from bench.workload import STEPS, value
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
from durable_core.storage.statements import SqlBackend

__all__ = [
    "STEPS",
    "charge",
    "durability",
    "fresh_engine",
    "guarded_five",
    "idempotent_five",
    "opened_engine",
    "render",
    "verified",
]

_SETTINGS: Final = {"sqlite": ON_SQLITE, "postgres": ON_POSTGRES}


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.MONEY_MOVING,
    on_ambiguous=OnAmbiguous.FAIL,
)
async def charge(number: int) -> bytes:
    """An effect that takes no time of its own."""
    return value(number)


@step(effect=EffectClass.IDEMPOTENT)
async def render(number: int) -> bytes:
    """The same without harm."""
    return value(number)


@workflow
async def guarded_five(ctx: DurableContext, first: int) -> int:
    """Five guarded steps, one after the other; the sum of their numbers."""
    return sum([(await ctx.step(charge, first + n))[-1] for n in range(STEPS)])


@workflow
async def idempotent_five(ctx: DurableContext, first: int) -> int:
    """Five idempotent steps, one after the other; the sum of their numbers."""
    return sum([(await ctx.step(render, first + n))[-1] for n in range(STEPS)])


@asynccontextmanager
async def opened_engine(
    where: Path | str,
    workflows: Sequence[Workflow[..., Any]] = (guarded_five, idempotent_five),
    *,
    recover: bool = True,
    claim: bool = False,
    config: DurableConfig | None = None,
) -> AsyncIterator[DurableEngine]:
    """An engine with every default: sealed, chained, full durability; on a file, or on a URL.

    `config` is for what lies beyond a limit of the defaults.
    """
    async with DurableEngine.open(
        journal_url(where) if isinstance(where, Path) else where,
        workflows=workflows,
        config=config or DurableConfig(),
        keys=KEYS,
        recover=recover,
        claim=claim,
    ) as engine:
        yield engine


@asynccontextmanager
async def fresh_engine(
    plan: Plan,
    workflows: Sequence[Workflow[..., Any]] = (guarded_five, idempotent_five),
    *,
    config: DurableConfig | None = None,
) -> AsyncIterator[DurableEngine]:
    """An engine on a journal of its own."""
    with plan.fresh_path() as path:
        async with opened_engine(path, workflows, config=config) as engine:
            yield engine


async def verified(engine: DurableEngine, executions: int) -> None:
    """Assert that every chain and anchor verifies, and that all executions have completed."""
    await engine.flush()
    report = await engine.verify()
    assert report.executions == executions, "an execution is not there"
    assert report.unstamped == 0, "an execution is not chained"
    done = await engine.list(status="completed", limit=executions + 1)
    assert len(done) == executions, "an execution has not completed"
    assert all(row.sealed for row in done), "an execution is not sealed"


async def durability(engine: DurableEngine) -> str:
    """What the database says of its durability to the connection by which the engine commits."""
    backend = engine.parts.backend
    assert isinstance(backend, SqlBackend), "the engine is on no database"
    writes = backend._writes  # noqa: SLF001 - another connection could have other settings
    ((said,),) = await writes.rows(tuple[str], _SETTINGS[backend.name])
    return said
