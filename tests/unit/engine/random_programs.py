"""Random workflows as data, and lives that end at a random instant: what a kill would leave.

A kill is a copy of the database in the middle of a step: it holds what is committed at that
instant, and nothing else. The life that is copied goes on to its end, so that both can be compared.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Final

from attrs import define, field, frozen

from durable_core import (
    DurableConfig,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    current_step,
    step,
)
from durable_core.errors import ExecutionFailed, StepFailed
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status
from durable_core.registry import Registry
from tests.journals import MASTER, key_text, sqlite_url
from tests.programs import version

__all__ = ["KINDS", "Kill", "Life", "Node", "live"]

KINDS: Final = ("plain", "guarded", "failing")
LONGEST_S: Final = 20.0
SEGMENT: Final = 5


@frozen
class Node:
    """A step (of a kind, with a label), or a form of several parts."""

    form: str
    label: str = ""
    parts: Sequence[Node] = ()

    @property
    def races(self) -> bool:
        """Whether what it does depends on what is faster."""
        return self.form == "race" or any(part.races for part in self.parts)

    @property
    def count(self) -> int:
        """How many steps it has."""
        return len(self.places())

    def places(self, place: str = "", *, helper: bool = False) -> dict[str, tuple[Node, bool]]:
        """Its steps by their places, and whether a helper calls each."""
        if self.form in KINDS:
            return {place: (self, helper)}
        ahead = len(self.parts) if self.form in {"helpers", "group"} else 0
        if self.form == "beside":
            ahead = len(self.parts) - 1
        return {
            at: found
            for index, part in enumerate(self.parts)
            for at, found in part.places(f"{place}.{index}", helper=helper or index < ahead).items()
        }


Parts = list[tuple[Node, str]]
"""Nodes, and where they stand in the program."""


@frozen
class Kill:
    """In which call of a step's function the database is copied, and whether it is flushed."""

    call: int
    flush: bool
    fails: bool = False
    """Whether the workflow fails at its end, if it gets there; then it is copied as failed."""


@define
class Life:
    """What one life of a program saw and did."""

    number: int
    rng: Random
    kill: Kill
    copy: Path
    calls: int = 0
    seen: dict[str, str] = field(factory=dict)
    """What came of each step, by its place in the program; absent where it was cancelled."""

    recorded: int | None = None
    """How many steps the copy holds as closed."""

    committed: set[bytes] = field(factory=set)
    """The keys of the guarded steps whose result the copy holds."""

    fired: list[bytes] = field(factory=list)
    """The keys of the guarded functions that were called."""

    failed: bool = False
    """Whether the copy holds the execution as failed, so that the next run is a fresh one."""

    result: Any = None
    engine: DurableEngine | None = None

    @property
    def replayed(self) -> dict[str, str]:
        """What was seen that an earlier life had computed."""
        own = f"#{self.number}."
        return {place: value for place, value in self.seen.items() if own not in value}

    async def work(self, label: str) -> str:
        """What the function of every step does: takes its time, and is perhaps killed."""
        self.calls += 1
        value = f"{label}#{self.number}.{self.calls}"
        if self.calls == self.kill.call:
            if self.kill.flush and self.engine is not None:
                await self.engine.flush()
            self._copy()
        for _ in range(self.rng.choice((0, 0, 1, 2, 5, 20))):
            await asyncio.sleep(0)
        return value

    async def end(self) -> None:
        """A kill that did not come until then comes now, when the program has ended."""
        if self.recorded is None and self.engine is not None:
            await self.engine.flush()
            self._copy()

    def _copy(self) -> None:
        source = self.copy.with_name(f"{self.number}.db")
        with (
            closing(sqlite3.connect(source)) as connection,
            closing(sqlite3.connect(self.copy)) as copy,
        ):
            connection.backup(copy)
            closes = (EntryKind.STEP_RESULT, EntryKind.STEP_FAILED)
            (self.recorded,) = copy.execute(
                "SELECT count(*) FROM durable_journal WHERE entry_kind IN (?, ?)", closes
            ).fetchone()
            guarded = (EntryKind.STEP_RESULT, EffectClass.EXACTLY_ONCE_GUARDED)
            self.committed = {
                key
                for (key,) in copy.execute(
                    "SELECT idem_key FROM durable_journal WHERE entry_kind = ? "
                    "AND effect_class = ?",
                    guarded,
                )
            }
            (status,) = copy.execute("SELECT status FROM durable_executions").fetchone()
            self.failed = status == Status.FAILED.label


@define
class Program:
    """Runs a node as the body of a workflow, in one life."""

    life: Life
    steps: dict[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        async def plain(label: str) -> str:
            return await self.life.work(label)

        async def paid(label: str) -> str:
            self.life.fired.append(current_step().idempotency_key)
            return await self.life.work(label)

        async def failing(label: str) -> None:
            raise ValueError(await self.life.work(label))

        guarded = step(
            name="guarded",
            effect=EffectClass.EXACTLY_ONCE_GUARDED,
            sub_class=EffectIntentSubClass.DESTRUCTIVE,
            on_ambiguous=OnAmbiguous.RERUN,
        )(paid)
        self.steps = {
            "plain": step(name="plain")(plain),
            "guarded": guarded,
            "failing": step(name="failing")(failing),
        }

    async def run(self, ctx: DurableContext, node: Node, place: str = "") -> Any:
        """The value of the node: lists of values, in the shape of the program."""
        parts = [(part, f"{place}.{index}") for index, part in enumerate(node.parts)]
        match node.form:
            case "sequence":
                return [await self.run(ctx, *part) for part in parts]
            case "race":
                return await self.race(ctx, parts)
            case form if form in KINDS:
                return await self.taken(*self.called(ctx, node, place))
            case _:
                return await self.at_once(ctx, node.form, parts)

    async def at_once(self, ctx: DurableContext, form: str, parts: Parts) -> list[Any]:
        """The values of several parts that go on at the same time."""
        match form:
            case "gather":
                steps = [self.called(ctx, *part) for part in parts]
                return list(await asyncio.gather(*(self.taken(each, at) for each, at in steps)))
            case "helpers":
                return list(await asyncio.gather(*(self.run(ctx, *part) for part in parts)))
            case "group":
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self.run(ctx, *part)) for part in parts]
                return [task.result() for task in tasks]
            case "beside":
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self.run(ctx, *part)) for part in parts[:-1]]
                    own = await self.run(ctx, *parts[-1])
                return [*(task.result() for task in tasks), own]
            case _:
                async with ctx.parallel() as block:
                    branches = [block.start(self.run, *part) for part in parts]
                return [branch.result() for branch in branches]

    async def race(self, ctx: DurableContext, parts: Parts) -> Any:
        """The first branch fails at its end, and takes the others with it."""

        async def failing(ctx: DurableContext, node: Node, place: str) -> None:
            await self.run(ctx, node, place)
            raise LookupError

        try:
            async with ctx.parallel() as block:
                block.start(failing, *parts[0])
                for part in parts[1:]:
                    block.start(self.run, *part)
        except* LookupError:
            pass
        return "raced"

    def called(self, ctx: DurableContext, node: Node, place: str) -> tuple[Any, str]:
        return ctx.step(self.steps[node.form], node.label), place

    async def taken(self, call: Any, place: str) -> str:
        """The value of a step, or what it failed with; both are told apart by whose they are."""
        try:
            value = str(await call)
        except StepFailed as failed:
            value = f"!{failed.message}"
        self.life.seen[place] = value
        return value


@functools.cache
def installed() -> Registry:
    """The plugins, looked for once for all lives."""
    return Registry.discover()


async def live(node: Node, life: Life, journal: Path) -> None:
    """One life on the journal: a new execution, or the one that is there."""

    async def body(ctx: DurableContext) -> Any:
        result = await Program(life).run(ctx, node)
        if life.kill.fails:
            life.result = result
            raise LookupError
        await life.end()
        return result

    program = version(body)
    config = DurableConfig(replay_segment=SEGMENT)
    async with DurableEngine.open(
        sqlite_url(journal),
        workflows=[program],
        config=config,
        keys=key_text((1, MASTER)),
        registry=installed(),
    ) as engine:
        life.engine = engine
        handle = await engine.start(program, key="the one")
        if await handle.status() is Status.FAILED:
            handle = await engine.resume(handle.id)
        try:
            life.result = await handle.result(LONGEST_S)
        except ExecutionFailed:
            assert life.kill.fails
            await life.end()
        await engine.verify()
