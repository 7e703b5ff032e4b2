"""The program that the crash tests kill: workflows of every effect class, and a ledger outside.

As a script it serves: it imports everything once, and then each line on its standard input is one
life, in a process of its own that it forks. That process opens the journal, starts what is to be
done by key, settles by the ledger what is blocked, and says a line after each thing that is
durable. Nothing is left of a life but what it wrote, so a forked one is as good as a cold start,
and it begins within milliseconds. One that is to be killed after some of its lines says no more
than these and does not end: the kill cannot come too late.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from durable_core import (
    DID_NOT_HAPPEN,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    ExecutionHandle,
    OnAmbiguous,
    current_step,
    reconcile,
    step,
    workflow,
)
from durable_core.engine.stored import open_intents
from durable_core.errors import AmbiguousEffect, ExecutionError, StepFailed
from durable_core.failpoints import VARIABLE as FAILPOINT
from durable_core.registry import Registry

__all__ = ["CLASSES", "KEYS", "RAISES", "STEPS", "flow", "say", "serve", "url_of", "value_of"]

Plan = list[list[str]]
Living = Callable[[Path, Mapping[str, Any], Registry], Coroutine[Any, Any, None]]

KEYS: Final = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
CLASSES: Final = ("idempotent", "at_least_once", "fail", "skip", "rerun", "reconcile")
RAISES: Final = "raises"
_LEDGER: Final = "CRASH_TEST_LEDGER"
_LEFT: Final = "CRASH_TEST_LINES_LEFT"
"""The descriptor of a pipe that holds a byte for each line that a life may still say."""


def url_of(folder: Path) -> str:
    """The journal in a folder."""
    return f"sqlite:///{folder / 'journal.db'}"


def say(*words: object) -> None:
    """One line, in one write, so that a kill cannot cut it."""
    take_a_line()
    os.write(1, f"{' '.join(map(str, words))}\n".encode())


def limit_lines(count: int | None) -> None:
    """Allow so many lines from now on, or any number of them."""
    if count is not None:
        left, filled = os.pipe()
        os.write(filled, bytes(count))
        os.environ[_LEFT] = str(left)


def take_a_line() -> None:
    """Take one of those that are left; where none is, wait for the kill at the empty pipe."""
    if left := os.environ.get(_LEFT):
        os.read(int(left), 1)


# --- the outside world: a ledger that knows what really happened


def note(name: str, number: int) -> None:
    """The effect: one line, in one write, that survives the process."""
    current = current_step()
    key = current.idempotency_key.hex()
    ledger = os.open(os.environ[_LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(ledger, f"{name} {key} {current.execution_id} {number}\n".encode())
    os.close(ledger)
    say("effect", name, number)


def happened(key: bytes) -> bool:
    """Whether the ledger holds that key."""
    ledger = Path(os.environ[_LEDGER])
    return ledger.exists() and f" {key.hex()} " in ledger.read_text()


def value_of(name: str, number: int) -> str:
    """What the step `name` returns for `number`, whoever says so."""
    return f"{name}={number}"


# --- the steps: of each class an async one, a plain one, and one that fails after its effect


def declaration(kind: str, name: str, *, is_async: bool) -> Mapping[str, Any]:
    """What `@step` is told for a class of effects."""
    guarded = EffectClass.EXACTLY_ONCE_GUARDED
    match kind:
        case "idempotent":
            return {"effect": EffectClass.IDEMPOTENT}
        case "at_least_once":
            return {}
        case "skip":
            return {"effect": guarded}
        case "fail":
            sub_class, policy = EffectIntentSubClass.MONEY_MOVING, OnAmbiguous.FAIL
            return {"effect": guarded, "sub_class": sub_class, "on_ambiguous": policy}
        case "rerun":
            sub_class, policy = EffectIntentSubClass.DESTRUCTIVE, OnAmbiguous.RERUN
            return {"effect": guarded, "sub_class": sub_class, "on_ambiguous": policy}
        case _:
            asked = asking(name) if is_async else asking_in_a_thread(name)
            custom = EffectIntentSubClass.CUSTOM
            return {"effect": guarded, "sub_class": custom, "on_ambiguous": reconcile(asked)}


def asking(name: str) -> Callable[..., Any]:
    async def ask(key: bytes, number: int) -> object:
        await asyncio.sleep(0)
        return value_of(name, number) if happened(key) else DID_NOT_HAPPEN

    return ask


def asking_in_a_thread(name: str) -> Callable[..., Any]:
    def ask(key: bytes, number: int) -> object:
        return value_of(name, number) if happened(key) else DID_NOT_HAPPEN

    return ask


def acting(kind: str, way: str) -> Callable[..., Any]:
    name = f"{kind}.{way}"

    async def act(number: int) -> str:
        await asyncio.sleep(0)
        note(name, number)
        await asyncio.sleep(0)
        return value_of(name, number)

    def act_in_a_thread(number: int) -> str:
        note(name, number)
        return value_of(name, number)

    async def act_and_raise(number: int) -> str:
        note(name, number)
        message = "after its effect"
        raise ValueError(message)

    function = {"async": act, "plain": act_in_a_thread, RAISES: act_and_raise}[way]
    return step(name=name, **declaration(kind, name, is_async=way != "plain"))(function)


STEPS: Final[Mapping[str, Callable[..., Any]]] = {
    f"{kind}.{way}": acting(kind, way) for kind in CLASSES for way in ("async", "plain", RAISES)
}


@workflow(name="flow")
async def flow(ctx: DurableContext, plan: list[list[str]]) -> list[str | None]:
    """The steps of each group at once, one group after the other."""
    values: list[str | None] = []
    for group in plan:
        at = len(values)
        steps = [ctx.step(STEPS[name], at + index) for index, name in enumerate(group)]
        try:
            values += [await steps[0]] if len(steps) == 1 else await asyncio.gather(*steps)
        except StepFailed as failure:
            values.append(f"{failure.step}!{failure.error_type}")
    return values


# --- one life


async def follow(engine: DurableEngine, key: str, plan: Plan) -> None:
    """Start or find one execution, and stay with it to its end."""
    handle = await engine.start(flow, plan, key=key)
    say("started", key, handle.id)
    while True:
        try:
            values = await handle.result()
        except AmbiguousEffect:
            await settle_one(engine, handle)
        else:
            say("result", key, json.dumps(values))
            return


async def settle_one(engine: DurableEngine, handle: ExecutionHandle[Any]) -> None:
    """What an operator does: look into the ledger, and say what it says."""
    row = await engine.parts.backend.load(handle.id.bytes)
    if row is None:
        message = f"execution {handle.id} is gone"
        raise ExecutionError(message)
    intent = (await open_intents(engine.parts, row))[0]
    ran = happened(intent.row.idem_key or b"")
    # Every step's argument is its position.
    value = value_of(intent.name, int(intent.row.step_id)) if ran else None
    await engine.settle(handle.id, intent.row.step_id, ran=ran, value=value)
    say("settled", handle.id, intent.row.step_id)


async def live(folder: Path, plans: Mapping[str, Plan], registry: Registry) -> None:
    """Verify what the last life left, then go on with everything to the end."""
    url = url_of(folder)
    async with DurableEngine.open(url, keys=KEYS, recover=False, registry=registry) as engine:
        say("verified", (await engine.verify()).entries)
    async with DurableEngine.open(url, workflows=[flow], keys=KEYS, registry=registry) as engine:
        await asyncio.gather(*(follow(engine, key, plan) for key, plan in plans.items()))
        await engine.verify()
    say("done")


def be_born(request: Mapping[str, Any], registry: Registry, living: Living) -> None:
    """One life, from its first line to its end; never returns."""
    status = 1
    try:
        say("pid", os.getpid())
        folder = Path(request["folder"])
        log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 2)
        os.environ[_LEDGER] = str(folder / "ledger")
        os.environ[FAILPOINT] = request["failpoint"]
        limit_lines(request["lines"])
        asyncio.run(living(folder, request["plans"], registry))
        take_a_line()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is belongs into the log of this life
        traceback.print_exc()
    finally:
        os._exit(status)


async def warm_up(registry: Registry) -> None:
    """Import all that a life imports."""
    async with DurableEngine.open(
        "sqlite://:memory:", workflows=[flow], keys=KEYS, registry=registry
    ) as engine:
        await engine.run(flow, [])


def serve(living: Living) -> None:
    """One life for each request: what `living` does with its folder and its plans.

    What has ended stays in the process table until the next one. So the number of a process that
    is to be killed can never have become another's.
    """
    registry = Registry.discover()
    asyncio.run(warm_up(registry))
    ended = 0
    say("ready")
    for line in sys.stdin:
        if ended:
            os.waitpid(ended, 0)
        ended = os.fork()
        if not ended:
            be_born(json.loads(line), registry, living)
        end = os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT)
        if end is not None:
            say("ended", end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)


if __name__ == "__main__":
    serve(live)
