"""An engine on a Postgres schema, with what it asks of the server counted on the wire.

Between the two stands a pooler that lends each client a session of its own and counts messages.
How many transactions there were is told by the server: each has left its number in its rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import frozen

from durable_core import DurableConfig, DurableEngine
from tests.counts.loops import run_counted
from tests.counts.programs import Steps
from tests.counts.runs import Costs, Counters, Run
from tests.dialects import query
from tests.journals import MASTER, key_text
from tests.pooler import Pooler, pooler

__all__ = ["on_postgres"]

_WRITERS: Final = "SELECT count(DISTINCT xmin::text) FROM durable_journal"
_EXECUTE, _SYNC, _QUERY = b"E", b"S", b"Q"


def on_postgres(run: Run, url: str) -> Costs:
    """What the cases of that run cost in the schema `url`, which is empty yet."""
    return run_counted(lambda _: run(partial(_opened, url)))


@frozen
class _Counted:
    engine: DurableEngine
    url: str
    between: Pooler

    async def of(self, work: Callable[[], Awaitable[object]]) -> Counter[str]:
        """What `work` costs, by the names of `numbers`; notices and the owner's lock apart."""
        before = self._now()
        await work()
        return Counter({what: count - before[what] for what, count in self._now().items()})

    def _now(self) -> Counter[str]:
        backend: Any = self.engine.parts.backend
        lock = backend._session._connection.get_server_pid()
        sent: Counter[bytes] = Counter()
        for client, messages in self.between.sent.items():
            if client != lock:
                sent += messages
        ((commits,),) = query(self.url, _WRITERS)
        return Counter(
            {
                "commits": commits,
                "statements": sent[_EXECUTE] + sent[_QUERY],
                "round trips": sent[_SYNC] + sent[_QUERY],
            }
        )


@asynccontextmanager
async def _opened(url: str, workflow: Steps, *, recover: bool = True) -> AsyncIterator[Counters]:
    """An engine with every default, by way of the pooler."""
    port = urlsplit(url).port
    assert port is not None
    async with (
        pooler(port, "session") as between,
        DurableEngine.open(
            url.replace(f":{port}/", f":{between.port}/"),
            workflows=[workflow],
            config=DurableConfig(),
            keys=key_text((1, MASTER)),
            recover=recover,
        ) as engine,
    ):
        yield _Counted(engine, url, between)
