"""Engines on a real server: killed, restarted, cut off; and what cannot be switched off here."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from durable_core import DurableConfig, DurableContext, DurableEngine, step, workflow
from durable_core.errors import ConfigError
from tests.postgres import Server

PROGRAM = Path(__file__).parent / "child.py"
KEYS = "1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
CANARY = "canary-7f3a"
STEPS = 8


@step
async def increase(number: int) -> int:
    return number + 1


@workflow(name="counting")
async def counting(ctx: DurableContext, number: int) -> int:
    for _ in range(STEPS):
        number = await ctx.step(increase, number)
    return number


@step
async def echo(value: str) -> str:
    return value


@workflow(name="telling")
async def telling(ctx: DurableContext) -> str:
    return await ctx.step(echo, CANARY)


async def entries_are_whole(connection: Any, count: int) -> None:
    """Each execution has each of its entries once."""
    numbers: dict[bytes, list[int]] = {}
    text = "SELECT execution_id, entry_no FROM durable_journal ORDER BY 1, 2"
    for execution_id, entry_no in await connection.fetch(text):
        numbers.setdefault(execution_id, []).append(entry_no)
    assert len(numbers) == count
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())
    closes = "SELECT execution_id FROM durable_journal WHERE entry_kind = 3"
    steps = Counter(row[0] for row in await connection.fetch(closes))
    assert set(steps.values()) == {STEPS}


async def run_child(url: str, mode: str, ledger: Path) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), url, mode, str(ledger), stdout=asyncio.subprocess.PIPE
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


@pytest.mark.parametrize("keys", [KEYS, ""])
async def test_inv_08_encryption_cannot_be_switched_off(url: str, keys: str, admin: Any) -> None:
    """Nothing is written under such a setting, and no session stays open."""
    config = DurableConfig(encrypt_payload=False)
    with pytest.raises(ConfigError, match="encrypt_payload"):
        async with DurableEngine.open(url, workflows=[telling], config=config, keys=keys):
            pass
    tables = "SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relname <> $1"
    assert await admin.fetchval(tables, "durable_schema") == 0
    others = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    async with asyncio.timeout(50):
        while await admin.fetchval(others) > 1:
            pass


async def test_inv_08_nothing_readable_is_stored(url: str, admin: Any) -> None:
    async with DurableEngine.open(url, workflows=[telling], keys=KEYS) as engine:
        assert await engine.run(telling) == CANARY
    text = "SELECT payload FROM durable_journal WHERE payload IS NOT NULL"
    payloads = [row[0] for row in await admin.fetch(text)]
    assert payloads
    assert not any(CANARY.encode() in payload for payload in payloads)
    assert await admin.fetchval("SELECT bool_and(sealed AND stamped) FROM durable_executions")


async def test_another_key_is_refused_before_anything_is_written(url: str, admin: Any) -> None:
    async with DurableEngine.open(url, workflows=[telling], keys=KEYS) as engine:
        await engine.run(telling)
    other = "1:" + KEYS[2:].replace("A", "B", 1)
    before = await admin.fetchval("SELECT count(*) FROM durable_journal")
    with pytest.raises(ConfigError) as raised:
        async with DurableEngine.open(url, workflows=[telling], keys=other):
            pass
    assert other[2:] not in str(raised.value)
    assert await admin.fetchval("SELECT count(*) FROM durable_journal") == before


async def test_a_server_that_crashes_and_starts_again_loses_nothing(
    own_server: Server, own_url: str
) -> None:
    count = 50
    async with DurableEngine.open(own_url, workflows=[counting], keys=KEYS) as engine:
        runs = [asyncio.create_task(engine.run(counting, n, key=str(n))) for n in range(count)]
        await runs[0]
        await asyncio.to_thread(own_server.restart, "immediate")
        assert await asyncio.gather(*runs) == [number + STEPS for number in range(count)]
        async with asyncio.timeout(50):
            assert await engine.run(counting, 0) == STEPS
        report = await engine.verify()
    connection = await asyncpg.connect(own_url)
    await entries_are_whole(connection, count + 1)
    await connection.close()
    assert report.executions == count + 1


async def test_sessions_that_are_ended_at_random_lose_nothing(url: str, admin: Any) -> None:
    """Whichever session it hits: the one that commits, the owner's, one that reads."""
    count = 30
    chance = random.Random(7)
    others = (
        "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND datname = current_database() ORDER BY pid"
    )
    ended = 0
    async with DurableEngine.open(url, workflows=[counting], keys=KEYS) as engine:
        runs = [asyncio.create_task(engine.run(counting, n, key=str(n))) for n in range(count)]
        while not all(run.done() for run in runs) and ended < 40:
            pids = [row[0] for row in await admin.fetch(others)]
            if pids:
                victim = chance.choice(pids)
                ended += await admin.fetchval("SELECT pg_terminate_backend($1, 5000)", victim)
        assert await asyncio.gather(*runs) == [number + STEPS for number in range(count)]
    await entries_are_whole(admin, count)
    assert ended > 0
