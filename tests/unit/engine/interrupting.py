"""An execution that was closed while its guarded function was under way: an open intent."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import durable_aead.plugin
from durable_core import (
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    current_step,
    step,
)
from durable_core.contracts import AuditRecord
from durable_core.engine.descriptor import Reconcile
from durable_core.hookspecs import Provided, hookimpl
from durable_core.registry import Registry
from tests.engines import OpenEngine
from tests.programs import Stage, version

__all__ = ["Interrupted", "Sink"]


class Sink:
    """An audit sink that keeps what it gets, or refuses it."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.refuse = False
        self.closed = False

    async def record(self, record: AuditRecord) -> None:
        if self.refuse:
            message = "full"
            raise OSError(message)
        self.records.append(record)

    async def close(self) -> None:
        self.closed = True

    @hookimpl
    def durable_audit_sinks(self) -> list[Provided[Sink]]:
        return [Provided("sink", lambda: self)]


class Interrupted:
    """An execution that was closed while its guarded function was under way."""

    def __init__(self, open_engine: OpenEngine, policy: OnAmbiguous | Reconcile) -> None:
        self.stage = Stage()
        self.keys: list[bytes] = []
        self.sink = Sink()
        self._open = open_engine
        self.declare(policy)
        self.id: Any = None

    def declare(self, policy: OnAmbiguous | Reconcile) -> None:
        """The program from now on: its only step is guarded under `policy`."""

        @step(
            name="pay",
            effect=EffectClass.EXACTLY_ONCE_GUARDED,
            sub_class=EffectIntentSubClass.MONEY_MOVING,
            on_ambiguous=policy,
        )
        async def pay(cents: int) -> str:
            self.keys.append(current_step().idempotency_key)
            if not self.stage.gate.is_set():
                await self.stage.pause()
            return f"paid {cents}"

        async def body(ctx: DurableContext) -> str | None:
            return await ctx.step(pay, 100)

        self.program = version(body)

    def opened(self, **settings: Any) -> AbstractAsyncContextManager[DurableEngine]:
        return self._open(
            self.program,
            registry=Registry.of(durable_aead.plugin, self.sink),
            audit_sinks=("sink",),
            **settings,
        )

    async def interrupt(self) -> None:
        async with self.opened(close_timeout_ms=1) as engine:
            self.id = (await engine.start(self.program)).id
            await self.stage.reached.wait()
        self.stage.gate.set()

    async def result(self) -> Any:
        async with self.opened() as engine:
            return await (await engine.get(self.id)).result()

    @property
    def resolutions(self) -> list[tuple[str, str]]:
        return [(record.policy, record.resolution) for record in self.sink.records]
