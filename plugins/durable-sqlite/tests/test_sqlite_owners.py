"""Owner locks: who lives, across processes, forks and kills (EC-28)."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import stat
import weakref
from typing import TYPE_CHECKING

import pytest

from durable_core.errors import ConfigError, JournalUnavailable
from durable_sqlite import LocalBackend
from durable_sqlite._owners import OwnerLocks

if TYPE_CHECKING:
    from conftest import Opener


async def test_in_memory_the_owners_are_those_of_the_backend(opener: Opener) -> None:
    backend = await opener("sqlite://:memory:")
    await backend.hold_owner_lock("first")
    assert await backend.owner_alive("first")
    assert not await backend.owner_alive("second")
    await backend.close()
    assert not await backend.owner_alive("first")


async def test_lock_files_are_private_and_go_with_their_owner(opener: Opener) -> None:
    backend = await opener()
    folder = opener.folder / "journal.db.owners"
    assert not folder.exists()
    await backend.hold_owner_lock("first")
    (file,) = folder.iterdir()
    assert file.name == "first.lock"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    await backend.close()
    assert not list(folder.iterdir())


async def test_ec_28_a_second_backend_in_one_process_is_another_owner(
    opener: Opener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("durable_core.storage.owners._PAUSE_S", 0)
    one, two = await opener(), await opener()
    await one.hold_owner_lock("same")
    with pytest.raises(JournalUnavailable, match="held by another engine"):
        await two.hold_owner_lock("same")
    assert await two.owner_alive("same")
    await two.close()
    assert await one.owner_alive("same")
    assert (opener.folder / "journal.db.owners" / "same.lock").exists()


async def test_probers_do_not_take_each_other_for_the_owner(opener: Opener) -> None:
    backend = await opener()
    folder = opener.folder / "journal.db.owners"
    folder.mkdir()
    with (folder / "dead.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as another prober does for an instant
        assert not await backend.owner_alive("dead")
    assert not list(folder.iterdir())


async def test_an_owner_waits_for_a_prober_to_go(opener: Opener) -> None:
    one, two = await opener(), await opener()
    folder = opener.folder / "journal.db.owners"
    folder.mkdir()
    with (folder / "first.lock").open("w") as prober:
        fcntl.flock(prober, fcntl.LOCK_SH)
        holding = asyncio.ensure_future(one.hold_owner_lock("first"))
        await asyncio.sleep(0)
        assert not holding.done()
        assert not await two.owner_alive("first")  # and the second prober takes the file away
    await holding
    assert await two.owner_alive("first")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a.b", "ä", "x" * 129])
async def test_odd_owner_ids_touch_no_file(backend: LocalBackend, name: str) -> None:
    with pytest.raises(ConfigError, match="owner id"):
        await backend.hold_owner_lock(name)
    assert not await backend.owner_alive(name)


async def test_a_folder_that_cannot_be_used_is_named(backend: LocalBackend, opener: Opener) -> None:
    (opener.folder / "journal.db.owners").touch()
    for work in (backend.hold_owner_lock("first"), backend.owner_alive("first")):
        with pytest.raises(JournalUnavailable, match=r"journal\.db\.owners"):
            await work


async def test_no_lock_is_taken_for_a_backend_that_is_closed(opener: Opener) -> None:
    """Also by who waited for it meanwhile: nobody would give it up."""
    first, second, other = await opener(), await opener(), await opener()
    await first.hold_owner_lock("w1")
    waiting = asyncio.ensure_future(second.hold_owner_lock("w1"))
    await asyncio.gather(second.close(), first.close())
    await asyncio.wait([waiting])
    assert waiting.exception() is None or isinstance(waiting.exception(), JournalUnavailable)
    assert not await other.owner_alive("w1")
    with pytest.raises(JournalUnavailable):
        await second.hold_owner_lock("w1")
    assert not await other.owner_alive("w1")


async def test_the_fork_hooks_do_not_keep_a_closed_backend_alive(opener: Opener) -> None:
    locks = OwnerLocks(str(opener.folder / "owners"))
    await locks.hold("first")
    locks.release()
    gone = weakref.ref(locks)
    del locks
    gc.collect()
    assert gone() is None
