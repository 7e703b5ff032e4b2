"""A file that is removed, moved or replaced while it is open: nothing is acknowledged any more."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, workflow
from durable_core.errors import JournalUnavailable
from durable_core.journal.settings import Health
from durable_sqlite import LocalBackend

if TYPE_CHECKING:
    from conftest import Opener

    from durable_core.conformance.rows import Rows


async def refuse(backend: LocalBackend, rows: Rows, what: str) -> None:
    """Everything that commits or looks after the journal says so."""
    with pytest.raises(JournalUnavailable, match=what):
        await backend.journal.append(rows.start(9))
    with pytest.raises(JournalUnavailable, match=what):
        await backend.probe()
    with pytest.raises(JournalUnavailable, match=what):
        await backend.read_inbox()
    with pytest.raises(JournalUnavailable, match=what):
        await backend.journal.prune([])


async def test_a_file_that_was_moved_takes_no_commits_until_it_is_back(
    backend: LocalBackend,
    opener: Opener,
    rows: Rows,
) -> None:
    await backend.journal.append(rows.start(1))
    elsewhere = opener.path.with_name("elsewhere.db")
    opener.path.rename(elsewhere)
    await refuse(backend, rows, "was removed or moved away while it was open; put it back")
    assert not opener.path.exists()
    elsewhere.rename(opener.path)
    await backend.probe()
    await backend.journal.append(rows.start(2))
    assert len(await backend.list_executions()) == 2


async def test_a_file_that_was_replaced_takes_no_commits(
    backend: LocalBackend,
    opener: Opener,
    rows: Rows,
) -> None:
    shutil.copyfile(opener.path, opener.path.with_name("copy.db"))
    opener.path.with_name("copy.db").rename(opener.path)
    await refuse(backend, rows, "was replaced by another file")


async def test_a_journal_in_memory_has_no_file(opener: Opener, rows: Rows) -> None:
    backend = await opener("sqlite://:memory:")
    await backend.journal.append(rows.start(1))
    await backend.probe()
    assert await backend.read_inbox() == []


@workflow(name="echo")
async def echo(_: DurableContext, text: str) -> str:
    return text


async def test_an_engine_is_degraded_while_its_file_is_away(opener: Opener) -> None:
    config = DurableConfig(journal_ack_timeout_ms=60_000, encrypt_payload=False)
    opened = DurableEngine.open(opener.url, workflows=[echo], config=config, keys="")
    async with opened as engine:
        assert await engine.run(echo, "before", key="a") == "before"
        elsewhere = opener.path.with_name("elsewhere.db")
        opener.path.rename(elsewhere)
        with pytest.raises(JournalUnavailable):
            await engine.start(echo, "away", key="b")
        assert engine.health().state is Health.DEGRADED
        elsewhere.rename(opener.path)
        with pytest.raises(JournalUnavailable, match="not committed"):
            await engine.flush()
        while engine.health().state is not Health.HEALTHY:
            await engine.list()
        assert await engine.run(echo, "after", key="b") == "after"
