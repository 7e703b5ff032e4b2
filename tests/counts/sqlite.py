"""An engine on a SQLite file with everything about it counted.

Nothing is put in the place of what is counted: the cipher is the real one behind a counting
plugin, statements are what the driver's own trace names, commits are read from the file.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from attrs import field, frozen

from durable_core import DurableConfig, DurableEngine
from durable_core.registry import Registry
from durable_sqlite import LocalBackend, _sql
from tests.ciphers import CountedCipherPlugin, CountingCipher
from tests.counts.calls import Calls
from tests.counts.loops import CountingLoop, run_counted
from tests.counts.programs import Steps
from tests.counts.runs import Costs, Counters, Run
from tests.counts.syncs import Syncs, counted_syncs
from tests.counts.writeahead import commits_in
from tests.journals import MASTER, key_text, sqlite_url

__all__ = ["on_sqlite"]

_TURNS_TO_SETTLE: Final = 50


def on_sqlite(run: Run, path: Path) -> Costs:
    """What the cases of that run cost in the file `path`, which is not there yet."""
    with counted_syncs() as syncs:
        return run_counted(lambda loop: run(partial(_opened, path, loop, syncs)))


@frozen
class _Counted:
    engine: DurableEngine
    path: Path
    loop: CountingLoop
    syncs: Syncs
    cipher: CountingCipher
    calls: Calls = field(factory=Calls)
    statements: list[str] = field(factory=list)
    """In the order in which they began, on both connections."""

    async def of(self, work: Callable[[], Awaitable[object]]) -> Counter[str]:
        """What `work` costs, by the names of `numbers`."""
        await _settled()
        before = self._now()
        with self.calls:
            await work()
        after = self._now()
        await _settled()
        cost = Counter({what: count - before[what] for what, count in after.items()})
        cost["largest batch"] = _largest_batch(self.statements[before["statements"] :])
        return cost

    def _now(self) -> Counter[str]:
        return Counter(
            {
                "commits": commits_in(self.path),
                "syncs": self.syncs.total,
                "statements": len(self.statements),
                "hops": self.loop.hops,
                "turns": self.loop.turns,
                "tasks": self.loop.tasks,
                "seals": len(self.cipher.sealed),
                "opens": len(self.cipher.opened),
                "decodings": self.calls.decodings,
                **self.calls.hashes,
                "objects": self.calls.objects,
                "calls": self.calls.total,
            }
        )


def _largest_batch(statements: list[str]) -> int:
    """How many statements the longest of the transactions is, its beginning and end included."""
    largest = begun = 0
    for at, text in enumerate(statements):
        if text == _sql.BEGIN:
            begun = at
        elif text == _sql.COMMIT:
            largest = max(largest, at - begun + 1)
    return largest


async def _settled() -> None:
    """Whatever was begun before has been done."""
    for _ in range(_TURNS_TO_SETTLE):
        await asyncio.sleep(0)


@asynccontextmanager
async def _opened(
    path: Path, loop: CountingLoop, syncs: Syncs, workflow: Steps, *, recover: bool = True
) -> AsyncIterator[Counters]:
    """An engine with every default but its cipher, which counts."""
    plugin = CountedCipherPlugin()
    async with DurableEngine.open(
        sqlite_url(path),
        workflows=[workflow],
        config=DurableConfig(cipher=plugin.cipher.name),
        keys=key_text((1, MASTER)),
        recover=recover,
        registry=Registry.of(plugin),
    ) as engine:
        counted = _Counted(engine, path, loop, syncs, plugin.cipher)
        backend = engine.parts.backend
        assert isinstance(backend, LocalBackend)
        for connection in (backend._writer, backend._reader):
            await connection.call(lambda raw: raw.set_trace_callback(counted.statements.append))
        yield counted
