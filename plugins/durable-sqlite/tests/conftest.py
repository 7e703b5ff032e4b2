"""A backend on a real file, for what is SQLite's own; the rest is in `conformance`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import field, mutable

pytest.register_assert_rewrite("durable_core.conformance")

from durable_core.conformance.rows import Rows
from durable_core.contracts import (
    BackendSettings,
    Durability,
)
from durable_sqlite import LocalBackend

CHILDREN = Path(__file__).parent / "children.py"


@mutable
class Opener:
    """Opens backends on files of one folder and closes them after the test."""

    folder: Path
    stack: AsyncExitStack = field(factory=AsyncExitStack)

    @property
    def path(self) -> Path:
        return self.folder / "journal.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    async def __call__(self, url: str | None = None, **changes: Any) -> LocalBackend:
        fields: dict[str, Any] = {"durability": Durability.FULL, "ack_timeout_ms": 5000, **changes}
        backend = await LocalBackend.open(url or self.url, BackendSettings(**fields))
        self.stack.push_async_callback(backend.close)
        return backend


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest_asyncio.fixture
async def opener(tmp_path: Path) -> AsyncIterator[Opener]:
    opening = Opener(tmp_path)
    async with opening.stack:
        yield opening


@pytest_asyncio.fixture
async def backend(opener: Opener) -> LocalBackend:
    return await opener()


@pytest.fixture
def child() -> Callable[..., subprocess.Popen[str]]:
    """Starts one job of `children.py` in a process of its own."""

    def start(job: str, *arguments: str) -> subprocess.Popen[str]:
        environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(CHILDREN), job, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
