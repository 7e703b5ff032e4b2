"""What every side runs: the same steps, the same workflows, and the world outside of them.

It imports nothing but the standard library, since it also runs in the environment of a peer, where
durable-core is not. What differs between the engines, the call of a step, stands in their programs.

A program is one life of a worker. Its argument is a JSON object (`World.of`); it says lines of
JSON. The first is `alive`, the last one `result` or `error`; then it stays until its input ends or
it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["BRANCHES", "FLOWS", "SECRETS", "STEPS", "Calls", "World", "branch", "told"]

SECRETS = {kind: f"canary-in-{kind}-8c2f" for kind in ("arguments", "results", "errors")}
"""What is searched for in the files of a store: it was put there as this."""

BRANCHES = ("a", "b")
STEPS = ("charge", "charge_by_key", "pack", "ship", "work", "keep", "refuse")
_TURN_S = 0.01
_PATIENCE_S = 5.0


class Calls(Protocol):
    """How a workflow calls its engine."""

    def call(self, step: str, *arguments: str) -> Awaitable[str]:
        """Run one of `STEPS`, durably."""

    def key(self) -> str:
        """What a payment provider may know an effect of this execution by, in every attempt."""

    async def branches(self) -> list[list[str]]:
        """`branch` for each of `BRANCHES` at once, in the form that the engine's docs name."""


@dataclass(frozen=True)
class World:
    """What lies outside of the engine, as one life of a worker meets it.

    `folder` holds the store, the ledger of effects, and what changes between two lives. `held` is
    the step that does not return in this life until the driver says so; empty: none. `server` has
    the URLs of a server, where the engine has one.
    """

    folder: Path
    worker: str
    flow: str
    text: str
    held: str = ""
    takes_over: bool = False
    server: Sequence[str] = ()

    @classmethod
    def of(cls, request: str) -> World:
        """The world of a request; from now on what goes to stderr is kept beside the store."""
        wanted = json.loads(request)
        world = cls(**{**wanted, "folder": Path(wanted["folder"])})
        log = os.open(world.folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(log, 2)
        world.say("alive")
        return world

    @property
    def store(self) -> Path:
        """The folder of the engine's files, and of nothing else."""
        return self.folder / "store"

    @property
    def customer(self) -> str:
        """Read from outside and not by a step: it may be another one in the next life."""
        return (self.folder / "customer").read_text()

    def say(self, *words: str) -> None:
        """One line to the driver, in one write."""
        os.write(1, f"{json.dumps(words)}\n".encode())

    def tell(self, name: str, text: str) -> None:
        """Leave a text in the folder, whole or not at all."""
        new = self.folder / f"{name}-of-{self.worker}"
        new.write_text(text)
        new.replace(self.folder / name)

    def note(self, *words: str) -> None:
        """An effect: a line of the ledger, which survives the process."""
        line = f"{json.dumps([*words, self.worker])}\n".encode()
        ledger = os.open(self.folder / "ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(ledger, line)
        os.close(ledger)

    def noted(self, *words: str) -> bool:
        """Whether the ledger has a line that begins like this."""
        ledger = self.folder / "ledger"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        return any(json.loads(line)[: len(words)] == [*words] for line in lines)

    async def wait_for(self, *words: str) -> None:
        """Return when the ledger has such a line, or when that took too long."""
        turns = 0
        while not self.noted(*words) and turns * _TURN_S < _PATIENCE_S:
            await asyncio.sleep(_TURN_S)
            turns += 1

    async def hold(self, step: str) -> None:
        """Stay in the step, where this life is to stay in it."""
        if step == self.held:
            self.say("reached", step)
            driver = os.getppid()
            go = self.folder / f"{self.worker}-goes-on"
            while not go.exists() and os.getppid() == driver:  # noqa: ASYNC110 - a file
                await asyncio.sleep(_TURN_S)

    # --- the steps

    async def charge(self, who: str) -> str:
        """A provider that does what it is told as often as it is told."""
        self.note("charge", who)
        await self.hold("charge")
        return f"charged {who}"

    async def charge_by_key(self, who: str, key: str) -> str:
        """A provider that does it once for each key."""
        if not self.noted("charge", who, key):
            self.note("charge", who, key)
        await self.hold("charge_by_key")
        return f"charged {who}"

    async def pack(self, what: str) -> str:
        """Harmless, and says who did it."""
        await self.hold("pack")
        return f"{what}, packed by {self.worker}"

    async def ship(self, what: str) -> str:
        """An effect behind the others."""
        self.note("ship")
        return f"{what}, shipped by {self.worker}"

    async def work(self, who: str, part: str) -> str:
        """Part of a branch. The first part of `a` lasts until `b` has come to its second."""
        self.note("work", who, part)
        if (who, part) == ("a", "1"):
            await self.wait_for("work", "b", "2")
        return f"{who}{part}"

    async def keep(self, _what: str) -> str:
        """Returns what nobody else should read."""
        return SECRETS["results"]

    async def refuse(self, _what: str) -> str:
        """Fails for good, and says what nobody else should read."""
        self.note("refuse")
        raise ValueError(SECRETS["errors"])


# --- the workflows


async def order(calls: Calls, world: World) -> str:
    """Three steps, one after the other."""
    receipt = await calls.call("charge", world.customer)
    parcel = await calls.call("pack", receipt)
    return await calls.call("ship", parcel)


async def order_by_key(calls: Calls, world: World) -> str:
    """The same with a provider that takes a key."""
    receipt = await calls.call("charge_by_key", world.customer, calls.key())
    parcel = await calls.call("pack", receipt)
    return await calls.call("ship", parcel)


async def branch(calls: Calls, world: World, who: str) -> list[str]:
    """Two steps, one after the other; `a` is the slower one at first, `b` in the second life."""
    first = await calls.call("work", who, "1")
    if (who, world.worker) == ("b", "B"):
        await world.wait_for("came to the end", "a", "B")
    line = [first, await calls.call("work", who, "2")]
    world.note("came to the end", who)
    return line


async def gathered(calls: Calls, world: World) -> str:
    """Two branches in plain asyncio, and a step behind them."""
    lines = await asyncio.gather(*(branch(calls, world, who) for who in BRANCHES))
    await calls.call("pack", "both")
    return json.dumps(lines)


async def in_branches(calls: Calls, _world: World) -> str:
    """The same in the form that the engine's docs name."""
    lines = await calls.branches()
    await calls.call("pack", "both")
    return json.dumps(lines)


async def secretive(calls: Calls, _world: World) -> str:
    """Gets, returns and raises what is searched for afterwards."""
    kept = await calls.call("keep", SECRETS["arguments"])
    await calls.call("pack", kept)
    return await calls.call("refuse", kept)


FLOWS: Mapping[str, Callable[[Calls, World], Awaitable[str]]] = {
    flow.__name__: flow for flow in (order, order_by_key, gathered, in_branches, secretive)
}


async def told(world: World, life: Awaitable[str]) -> None:
    """Say how a life ended, then wait for the end of the input."""
    try:
        world.say("result", await life)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was observed
        world.say("error", type(error).__name__, str(error))
    await asyncio.to_thread(sys.stdin.read)
