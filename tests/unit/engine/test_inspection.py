"""What a tool sees of a journal while others change it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from durable_core import DurableConfig, DurableEngine
from durable_core.engine.inspection import Check, Inspector, open_journal
from durable_core.errors import ConfigError, ExecutionNotFound, IntegrityError
from durable_core.ids import ExecutionId
from tests.journals import change, sqlite_url
from tests.tampering import KEYS, Written


async def prune(journal: Inspector) -> None:
    ended = await journal.backend.journal.ended(None, 10)
    await journal.backend.journal.prune([row for row in ended if row.status == "completed"])


@pytest.fixture
async def journal(written: Written) -> AsyncIterator[Inspector]:
    async with open_journal(sqlite_url(written.path), DurableConfig(), KEYS) as opened:
        yield opened


@pytest.mark.parametrize("reveal", [True, False])
async def test_an_execution_that_is_pruned_meanwhile_is_not_damaged(
    journal: Inspector,
    written: Written,
    *,
    reveal: bool,
) -> None:
    seen = await journal.execution(written.completed)
    await prune(journal)
    with pytest.raises(ExecutionNotFound, match="was pruned"):
        await journal.entries(seen, reveal=reveal)


async def test_without_a_key_a_pruned_execution_is_not_an_empty_one(written: Written) -> None:
    url = sqlite_url(written.path)
    async with open_journal(url, DurableConfig(), key_optional=True) as journal:
        seen = await journal.execution(written.completed)
        assert seen.check is Check.NO_KEY
        assert len(await journal.entries(seen)) > 0
        await prune(journal)
        with pytest.raises(ExecutionNotFound):
            await journal.entries(seen)


async def test_an_execution_that_lost_its_rows_is_damaged(
    journal: Inspector,
    written: Written,
) -> None:
    statement = "DELETE FROM durable_journal WHERE execution_id = ?"
    assert change(written.path, statement, written.completed.bytes)
    seen = await journal.execution(written.completed)
    with pytest.raises(IntegrityError, match=r"entry 1 .* is missing"):
        await journal.entries(seen)


@pytest.mark.parametrize("given", [b"x" * 16, 5])
async def test_what_is_no_id_is_told_from_one_that_is_not_there(
    journal: Inspector,
    given: object,
) -> None:
    execution_id = cast("ExecutionId", given)
    for ask in (journal.execution, journal.verify):
        with pytest.raises(ConfigError, match=f"UUID or its text, not {type(given).__name__}"):
            await ask(execution_id)
        with pytest.raises(ExecutionNotFound, match="no execution"):
            await ask(ExecutionId(int=7))


@pytest.mark.parametrize("url", [Path("orders.db"), 5, b"sqlite:///orders.db"])
async def test_what_is_no_url_is_refused(url: object) -> None:
    given = cast("str", url)
    config = DurableConfig()
    for opening in (
        open_journal(given, config, KEYS),
        DurableEngine.open(given, config=config, keys=KEYS),
    ):
        with pytest.raises(ConfigError, match=f"a {type(url).__name__} is no database URL"):
            async with opening:
                pass
