"""Opening: migration, refusals, owners; and an engine on top, whose process is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from durable_core.errors import ConfigError, EntryRejected, SchemaTooNew
from durable_postgres import PostgresBackend

if TYPE_CHECKING:
    from conftest import Opener, Rows

CHILD = Path(__file__).parent / "child.py"
CANARY = "hunter2-canary"


async def test_a_key_check_goes_with_what_is_first_written(opener: Opener, rows: Rows) -> None:
    first, second = await opener(), await opener()
    first.announce_key(3, b"one")
    second.announce_key(3, b"two")
    assert await first.key_checks() == {}
    await first.journal.append(rows.start(1))
    assert await second.key_checks() == {3: b"one"}
    with pytest.raises(EntryRejected, match="other key bytes"):
        await second.journal.append(rows.start(2))


async def run_child(url: str, mode: str, ledger: Path) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), url, mode, str(ledger), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await child.communicate()
    return child.returncode or 0, out.decode()


async def test_ec_21_a_killed_process_goes_on_and_the_effect_is_not_repeated(
    url: str, tmp_path: Path
) -> None:
    """SIGKILL behind the first effect's commit; another process takes the execution over."""
    ledger = tmp_path / "ledger"
    assert await run_child(url, "die", ledger) == (-9, "")
    assert ledger.read_text().split() == ["charge"]
    assert await run_child(url, "live", ledger) == (0, "paid and sent\n")
    assert ledger.read_text().split() == ["charge", "send"]
