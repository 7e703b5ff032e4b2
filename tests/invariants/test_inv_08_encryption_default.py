"""INV-8: AEAD is on by default; without a key and an explicit switch-off there is no engine."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from durable_core import DurableContext, step
from durable_core.contracts import MasterKeys
from durable_core.errors import ConfigError
from tests.engines import OpenEngine
from tests.journals import path_of, query
from tests.programs import version

CANARY = "canary-7f3a"


@step
async def echo(value: str) -> str:
    return value


async def body(ctx: DurableContext) -> str:
    return await ctx.step(echo, CANARY)


def raw_bytes(url: str) -> bytes:
    """The database file and its log, read by another process.

    Closing the file here would drop the locks that this process holds on it.
    """
    path = path_of(url)
    parts = [str(part) for part in (path, path.with_name(path.name + "-wal")) if part.exists()]
    program = "import pathlib, sys; sys.stdout.buffer.write(b''.join("
    program += "pathlib.Path(name).read_bytes() for name in sys.argv[1:]))"
    command = [sys.executable, "-c", program, *parts]
    return subprocess.run(command, capture_output=True, check=True).stdout


async def test_no_key_is_refused_and_the_error_says_how_to_make_one(
    open_engine: OpenEngine,
    url: str,
) -> None:
    with pytest.raises(ConfigError, match="durable keygen"):
        async with open_engine(keys=None):
            pass
    assert not path_of(url).exists()


async def test_nothing_readable_lies_on_disk_by_default(open_engine: OpenEngine, url: str) -> None:
    program = version(body)
    async with open_engine(program) as engine:
        assert await engine.run(program) == CANARY
        while_open = raw_bytes(url)
    assert b"durable_journal" in while_open
    assert CANARY.encode() not in while_open
    assert CANARY.encode() not in path_of(url).read_bytes()


async def test_the_switch_off_is_explicit_loud_and_real(
    open_engine: OpenEngine,
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    program = version(body)
    async with open_engine(program, keys=None, encrypt_payload=False) as engine:
        assert await engine.run(program) == CANARY
        assert (await engine.verify()).unstamped == 1
    assert CANARY.encode() in path_of(url).read_bytes()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any("NOT encrypted" in record.getMessage() for record in warnings)
    assert query(path_of(url), "SELECT key_id, sealed, stamped FROM durable_executions") == [
        (None, 0, 0),
    ]


class NoKeys:
    """A provider that has lost its keys and does not say so."""

    def load(self) -> MasterKeys:
        return None  # type: ignore[return-value] # what a careless author lets happen


async def test_a_provider_without_keys_is_no_way_around(
    open_engine: OpenEngine,
    url: str,
) -> None:
    with pytest.raises(ConfigError, match="durable keygen"):
        async with open_engine(keys=NoKeys()):
            pass
    assert not path_of(url).exists()


@pytest.mark.parametrize("keys", ["", " \n", NoKeys()])
async def test_no_key_and_no_encryption_is_a_choice(
    open_engine: OpenEngine,
    keys: str | NoKeys,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty text says that there is no key: the environment is not asked then."""
    monkeypatch.setenv("DURABLE_KEY", key)
    program = version(body)
    async with open_engine(program, keys=keys, encrypt_payload=False) as engine:
        assert await engine.run(program) == CANARY
        assert (await engine.verify()).unstamped == 1


async def test_a_key_without_encryption_still_stamps(open_engine: OpenEngine, url: str) -> None:
    program = version(body)
    async with open_engine(program, encrypt_payload=False) as engine:
        assert await engine.run(program) == CANARY
        await engine.verify()
    assert query(path_of(url), "SELECT key_id, sealed, stamped FROM durable_executions") == [
        (1, 0, 1),
    ]


async def test_the_environment_holds_the_key(
    open_engine: OpenEngine,
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DURABLE_KEY", key)
    program = version(body)
    async with open_engine(program, keys=None) as engine:
        assert await engine.run(program, key="k") == CANARY
    async with open_engine(program) as engine:
        assert await engine.run(program, key="k") == CANARY
