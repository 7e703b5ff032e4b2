"""Owner locks: who lives, across processes, forks, kills and lost sessions (EC-28)."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import weakref
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from durable_core.errors import ConfigError, JournalUnavailable
from durable_core.model.execution import ANYONE, NOBODY
from tests.postgres import OWNERS, WAITING

if TYPE_CHECKING:
    from conftest import Child, Opener

Admin = Any


async def test_an_owner_lives_as_long_as_its_backend(opener: Opener) -> None:
    first, second = await opener(), await opener()
    await first.hold_owner_lock("a")
    assert await first.owner_alive("a")
    assert all(await asyncio.gather(*(second.owner_alive("a") for _ in range(8))))
    assert not await second.owner_alive("b")
    await first.close()
    await first.close()
    assert not await second.owner_alive("a")


@pytest.mark.parametrize("word", [NOBODY, ANYONE])
async def test_nobody_and_anyone_never_live(opener: Opener, word: str) -> None:
    backend = await opener()
    with pytest.raises(ConfigError, match="an owner id is"):
        await backend.hold_owner_lock(word)
    assert not await backend.owner_alive(word)


async def test_ec_28_a_lock_that_is_held_is_refused(opener: Opener) -> None:
    first, second = await opener(), await opener()
    await first.hold_owner_lock("a")
    with pytest.raises(JournalUnavailable, match="fresh owner id"):
        await second.hold_owner_lock("a")
    assert await second.owner_alive("a")
    await first.close()
    await second.hold_owner_lock("a")
    assert await second.owner_alive("a")


@pytest.mark.parametrize("job", ["own", "own_and_fork"])
async def test_ec_28_sigkill_frees_an_owner_at_once(
    opener: Opener, child: Child, url: str, job: str
) -> None:
    """Also when a forked child of the owner lives on."""
    backend = await opener()
    process = child(job, url, "a")
    assert process.stdout is not None
    forked = int(await asyncio.to_thread(process.stdout.readline))
    assert await backend.owner_alive("a")
    process.kill()
    process.wait()
    async with asyncio.timeout(50):
        while await backend.owner_alive("a"):
            pass
    assert bool(forked) == (job == "own_and_fork")
    if forked:
        os.kill(forked, signal.SIGKILL)


async def test_ec_28_a_stopped_owner_is_alive_until_it_is_evicted(
    opener: Opener, child: Child, url: str
) -> None:
    backend = await opener()
    process = child("own", url, "a")
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    process.send_signal(signal.SIGSTOP)
    assert await backend.owner_alive("a")
    assert await backend.evict("a")
    assert not await backend.owner_alive("a")
    assert await backend.evict("a")
    process.send_signal(signal.SIGCONT)
    async with asyncio.timeout(50):
        while not await backend.owner_alive("a"):
            pass
    assert await backend.owner_alive("a")


async def test_evicting_without_the_right_says_which_one_is_missing(
    opener: Opener, url: str, admin: Admin
) -> None:
    await (await opener()).hold_owner_lock("a")
    role = f"weak_{os.urandom(4).hex()}"
    await admin.execute(f"CREATE ROLE {role} LOGIN")
    await admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    weak = await opener(url.replace("postgres@", f"{role}@"))
    try:
        with pytest.raises(ConfigError, match="pg_signal_backend"):
            await weak.evict("a")
        assert await weak.owner_alive("a")
    finally:
        await weak.close()
        await admin.execute(f"DROP OWNED BY {role}")
        await admin.execute(f"DROP ROLE {role}")


async def test_a_lost_session_is_said_and_made_anew(opener: Opener, admin: Admin) -> None:
    first, second = await opener(), await opener()
    said: asyncio.Queue[bool] = asyncio.Queue()
    await first.hold_owner_lock("a", said.put_nowait)
    for _ in range(3):
        pid = await admin.fetchval(OWNERS)
        assert await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        assert await said.get() is False
        assert await said.get() is True
        assert await first.owner_alive("a")
        assert await second.owner_alive("a")
        assert await admin.fetchval(OWNERS) != pid
    await first.close()
    assert said.empty()
    assert not await second.owner_alive("a")


async def test_the_session_waits_until_the_lock_is_free_again(opener: Opener, admin: Admin) -> None:
    """Somebody else took it in between: the owner does not stand until that one is gone."""
    backend = await opener()
    said: asyncio.Queue[bool] = asyncio.Queue()
    await backend.hold_owner_lock("a", said.put_nowait)
    pid = await admin.fetchval(OWNERS)
    waiting = asyncio.ensure_future(
        admin.fetchval("SELECT pg_advisory_lock(hashtextextended('a', 7160))")
    )
    watcher: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(opener.url)
    while not await watcher.fetchval(WAITING):
        pass
    await watcher.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
    await waiting
    assert await said.get() is False
    assert not await backend.owner_alive("a")
    assert said.empty()
    await admin.fetchval("SELECT pg_advisory_unlock(hashtextextended('a', 7160))")
    assert await said.get() is True
    assert await backend.owner_alive("a")
    await watcher.close()


async def test_the_fork_hooks_do_not_keep_a_closed_backend_alive(opener: Opener) -> None:
    backend = await opener()
    await backend.close()
    gone = weakref.ref(backend)
    opener.stack.pop_all()
    del backend
    gc.collect()
    assert gone() is None


async def test_the_server_is_told_when_to_give_up_the_host_of_an_owner(opener: Opener) -> None:
    """As the kernel has it for the socket of the session that holds the lock."""
    backend = await opener()
    await backend.hold_owner_lock("w1")
    connection = backend._session._connection
    assert connection is not None
    names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    async with backend._session._turn:
        found = [await connection.fetchval(f"SHOW tcp_{name}") for name in names]
    assert found == ["5", "2", "3", "11000"]


async def test_a_lock_that_is_being_taken_when_the_backend_is_closed_is_released(
    opener: Opener,
) -> None:
    backend, other = await opener(), await opener()
    await asyncio.gather(backend.hold_owner_lock("a"), backend.close(), return_exceptions=True)
    while await other.owner_alive("a"):  # until the server has noticed
        pass
    with pytest.raises(JournalUnavailable):
        await backend.hold_owner_lock("a")
