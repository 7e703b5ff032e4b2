"""Runs the command in this process or as one of its own, on journals that an engine has written."""

from __future__ import annotations

import asyncio
import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer.main
import typer.testing
from attrs import evolve, frozen
from typer.testing import CliRunner

from durable_cli.main import build
from durable_core import DurableConfig, DurableContext, DurableEngine, step, workflow
from durable_core.keysources import generate_key
from tests.forked import run

CANARY: Final = "canary-7f3a91"
APP: Final = build()


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
            APP,
            arguments,
            input=stdin,
            env=environment,
            prog_name="durable",
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    def beside(self, *arguments: str, **environment: str) -> Ran:
        """Run it in a process of its own that is forked; see `tests/forked.py`."""
        done = run(["-m", "durable_cli", *arguments], os.environ | environment)
        return Ran(done.returncode, done.stdout, done.stderr)

    def alone(self, *arguments: str, **environment: str) -> Ran:
        """Run it in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "durable_cli", *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            timeout=250,
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
    def environment(self) -> dict[str, str]:
        """The settings with which a command works on it."""
        return {"DURABLE_URL": self.url, "DURABLE_KEY": self.key}

    def copied(self, folder: Path) -> Written:
        """The same journal in another folder, as a test's own. Nobody may have it open."""
        folder.mkdir(exist_ok=True)
        path = folder / self.path.name
        shutil.copyfile(self.path, path)
        path.with_name(f"{path.name}.owners").mkdir(mode=0o700)
        return evolve(self, path=path)

    @property
    def key_bytes(self) -> str:
        """The key without its id: what no output may hold."""
        return self.key.partition(":")[2]


@frozen
class Shop:
    """`shop.py`, a program that uses durable-core, in a process of its own."""

    path: Path

    def __call__(self, task: str, url: str, key: str, **environment: str) -> Ran:
        """Run it to its end, with no settings of the machine."""
        clean = {name: os.environ[name] for name in os.environ if not name.startswith("DURABLE_")}
        settings = clean | {"DURABLE_KEY": key} | environment
        done = run([str(self.path), task, url], settings, self.path.parent)
        return Ran(done.returncode, done.stdout, done.stderr)


@step
async def label(text: str) -> str:
    return f"label of {text}"


@workflow(name="pack")
async def pack(ctx: DurableContext, text: str) -> str:
    return await ctx.step(label, text)


@pytest.fixture(scope="session", autouse=True)
def _built_once() -> Iterator[None]:
    """Typer makes its commands anew for each run, which takes longer than most of them do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(typer.testing, "_get_command", functools.cache(typer.main.get_command))
        yield


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
def journal(packed: Written, tmp_path: Path) -> Written:
    """Three finished executions of `pack`, whose argument is the canary."""
    return packed.copied(tmp_path)


@pytest.fixture
def blocked(ambiguous: Written, tmp_path: Path) -> Written:
    """One execution that blocks: its process died in a guarded step that nobody can tell about."""
    return ambiguous.copied(tmp_path)


@pytest.fixture
def broken(failed: Written, tmp_path: Path) -> Written:
    """One execution that has failed, with the canary in the message; the shop can repair it."""
    return failed.copied(tmp_path)


@pytest.fixture
def plain(unsealed: Written, tmp_path: Path) -> Written:
    """As `blocked`, written without a key."""
    return unsealed.copied(tmp_path)


@pytest.fixture(scope="session")
def shop() -> Shop:
    return Shop(Path(__file__).parent / "shop.py")


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What `journal` is a copy of: written once."""
    path = tmp_path_factory.mktemp("packed") / "orders.durable.db"
    key = generate_key()
    return Written(path, key, asyncio.run(_pack(f"sqlite:///{path}", key)))


@pytest.fixture(scope="session")
def failed(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Written:
    """What `broken` is a copy of."""
    path = tmp_path_factory.mktemp("failed") / "broken.durable.db"
    key = generate_key()
    ended = shop("fail", f"sqlite:///{path}", key)
    assert ended.out.startswith("ExecutionFailed "), ended
    return Written(path, key, (ended.out.split()[1],))


@pytest.fixture(scope="session")
def ambiguous(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Written:
    """What `blocked` is a copy of."""
    return _ambiguous(tmp_path_factory.mktemp("ambiguous"), shop, generate_key())


@pytest.fixture(scope="session")
def unsealed(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Written:
    """What `plain` is a copy of."""
    folder = tmp_path_factory.mktemp("unsealed")
    return _ambiguous(folder, shop, "", DURABLE_ENCRYPT_PAYLOAD="false")


def _ambiguous(folder: Path, shop: Shop, key: str, **settings: str) -> Written:
    path = folder / "blocked.durable.db"
    url = f"sqlite:///{path}"
    crashed = shop("crash", url, key, **settings)
    assert crashed.code == -9, crashed
    blocked = shop("resume", url, key, **settings)
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
