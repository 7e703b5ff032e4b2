"""Poolers: session mode works, transaction mode is refused before anything is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest

from durable_core import DurableContext, DurableEngine, step, workflow
from durable_core.contracts import Notice, NoticeKind
from durable_core.errors import ConfigError
from tests.pooler import pooler
from tests.postgres import OWNERS

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows

KEYS = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@step
async def double(number: int) -> int:
    return 2 * number


@workflow(name="doubling")
async def doubling(ctx: DurableContext, number: int) -> int:
    return await ctx.step(double, await ctx.step(double, number))


def port_of(url: str) -> int:
    return urlsplit(url).port or 5432


def through(url: str, port: int) -> str:
    return url.replace(f":{port_of(url)}/", f":{port}/")


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("size", [1, 2, 20])
async def test_modes_that_lend_are_refused_and_nothing_is_written(
    opener: Opener, url: str, admin: Any, mode: Literal["transaction", "statement"], size: int
) -> None:
    async with pooler(port_of(url), mode, size) as lending:
        with pytest.raises(ConfigError, match="session mode") as raised:
            await opener(through(url, lending.port))
    assert "prepared statements and LISTEN" in str(raised.value)
    assert await admin.fetchval("SELECT to_regclass('durable_schema')") is None


async def test_a_pool_of_one_session_is_refused_within_seconds(opener: Opener, url: str) -> None:
    async with pooler(port_of(url), "session", 1) as lending:
        with pytest.raises(ConfigError, match="session mode"):
            async with asyncio.timeout(50):
                await opener(through(url, lending.port))


async def test_a_server_that_is_too_old_is_refused(opener: Opener, url: str, admin: Any) -> None:
    async with pooler(port_of(url), "session", version="13.9") as old:
        with pytest.raises(ConfigError, match=r"is Postgres 13.*use 14 or newer"):
            await opener(through(url, old.port))
    assert await admin.fetchval("SELECT to_regclass('durable_schema')") is None


async def test_session_mode_carries_locks_notices_and_lost_sessions(
    opener: Opener, rows: Rows, url: str, admin: Any
) -> None:
    async with pooler(port_of(url), "session") as lending:
        one, two = await opener(through(url, lending.port)), await opener()
        said: asyncio.Queue[bool] = asyncio.Queue()
        heard: asyncio.Queue[Notice] = asyncio.Queue()
        await one.hold_owner_lock("a", said.put_nowait)
        one.listen(heard.put_nowait)
        assert await two.owner_alive("a")
        await two.evict("a")
        assert [await said.get(), await said.get()] == [False, True]
        assert await two.owner_alive("a")
        await one.journal.append(rows.start(1))
        await admin.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert await one.load(rows.execution_id(1)) == rows.execution(1)
        assert [await said.get(), await said.get()] == [False, True]
        await two.hold_owner_lock("b")
        await two.journal.append(rows.start(2, status="completed", finalized_at=1))
        while await heard.get() != Notice(NoticeKind.ENDED, rows.execution_id(2)):
            pass
        await one.close()
        assert lending.clients > 3


async def test_a_lock_whose_old_session_lives_on_is_taken_again(
    opener: Opener, url: str, admin: Any
) -> None:
    """The way to the server is cut, and the server has not noticed: the old session is ended."""
    async with pooler(port_of(url), "session") as lending:
        backend = await opener(through(url, lending.port))
        said: asyncio.Queue[bool] = asyncio.Queue()
        await backend.hold_owner_lock("a", said.put_nowait)
        old = await admin.fetchval(OWNERS)
        lending.keeps = True
        assert backend._session._connection is not None
        backend._session._connection.terminate()
        assert [await said.get(), await said.get()] == [False, True]
        (held,) = await admin.fetch(OWNERS)
        assert held[0] != old
        assert len(lending.kept) == 1
        await backend.close()


async def test_an_engine_runs_through_a_pooler_in_session_mode(url: str) -> None:
    async with pooler(port_of(url), "session") as lending:
        address = through(url, lending.port)
        async with DurableEngine.open(address, workflows=[doubling], keys=KEYS) as engine:
            runs = (engine.run(doubling, number, key=str(number)) for number in range(20))
            assert await asyncio.gather(*runs) == [4 * number for number in range(20)]
        async with DurableEngine.open(address, workflows=[doubling], keys=KEYS) as engine:
            assert await engine.run(doubling, 7, key="7") == 28
