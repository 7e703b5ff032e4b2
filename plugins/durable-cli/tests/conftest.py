"""Runs the command in this process or as one of its own, on journals that an engine has written."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen
from typer.testing import CliRunner

from durable_cli.main import build
from durable_core import DurableConfig, DurableContext, DurableEngine, step, workflow
from durable_core.keysources import generate_key

CANARY: Final = "canary-7f3a91"


@frozen
class Ran:
    """What a command left: its exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    def require_error(self, *words: str) -> None:
        """Exit code 1, nothing but one line on stderr, those words in it, and no secret."""
        assert (self.code, self.out) == (1, ""), self
        self.require_line(*words)

    def require_line(self, *words: str) -> None:
        """One line on stderr with those words, and no secret."""
        assert re.fullmatch(r"error: [^\n]+\n", self.err), self.err
        assert [word for word in words if word not in self.err] == [], self.err
        assert CANARY not in self.out + self.err
        assert "Traceback" not in self.err


@frozen
class Durable:
    """The command: `durable("list", "--json")`."""

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        """Run it in this process."""
        return self.fed("", *arguments, **environment)

    def fed(self, stdin: str, *arguments: str, **environment: str) -> Ran:
        """The same with something on stdin."""
        done = CliRunner().invoke(
            build(),
            arguments,
            input=stdin,
            env=environment,
            prog_name="durable",
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    def alone(self, *arguments: str, **environment: str) -> Ran:
        """Run it in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "durable_cli", *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@frozen
class Written:
    """A journal on disk: its file, its key, and the executions in it, oldest first."""

    path: Path
    key: str
    ids: tuple[str, ...]

    @property
    def url(self) -> str:
        """Its URL."""
        return f"sqlite:///{self.path}"

    @property
    def key_bytes(self) -> str:
        """The key without its id: what no output may hold."""
        return self.key.partition(":")[2]


@frozen
class Shop:
    """`shop.py`, a program that uses durable-core, in a process of its own."""

    path: Path

    def __call__(self, task: str, url: str, key: str, **environment: str) -> Ran:
        """Run it to its end."""
        done = subprocess.run(
            [sys.executable, self.path, task, url],
            env=os.environ | {"DURABLE_KEY": key} | environment,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)


@step
async def label(text: str) -> str:
    return f"label of {text}"


@workflow(name="pack")
async def pack(ctx: DurableContext, text: str) -> str:
    return await ctx.step(label, text)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("DURABLE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def durable() -> Durable:
    return Durable()


@pytest.fixture
def canary() -> str:
    """A word that stands in every payload, and may stand nowhere else."""
    return CANARY


@pytest.fixture
def journal(tmp_path: Path) -> Written:
    """Three finished executions of `pack`, whose argument is the canary."""
    path = tmp_path / "orders.durable.db"
    key = generate_key()
    ids = asyncio.run(_pack(f"sqlite:///{path}", key))
    return Written(path, key, ids)


@pytest.fixture
def shop() -> Shop:
    return Shop(Path(__file__).parent / "shop.py")


@pytest.fixture
def blocked(tmp_path: Path, shop: Shop) -> Written:
    """One execution that blocks: its process died in a guarded step that nobody can tell about."""
    path = tmp_path / "blocked.durable.db"
    key = generate_key()
    url = f"sqlite:///{path}"
    crashed = shop("crash", url, key)
    assert crashed.code == -9, crashed
    blocked = shop("resume", url, key)
    assert blocked.code == 0, blocked
    assert blocked.out.startswith("AmbiguousEffect "), blocked
    return Written(path, key, (blocked.out.split()[1],))


async def _pack(url: str, key: str) -> tuple[str, ...]:
    config = DurableConfig()
    async with DurableEngine.open(url, workflows=[pack], config=config, keys=key) as engine:
        ids = []
        for number in range(3):
            handle = await engine.start(pack, CANARY, key=f"parcel-{number}")
            await handle.result()
            ids.append(str(handle.id))
        return tuple(ids)
