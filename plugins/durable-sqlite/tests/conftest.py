"""A backend on a real file, and rows that are right unless a test says otherwise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from attrs import field, frozen, mutable

from durable_core.contracts import (
    BackendSettings,
    BatchOutcome,
    CommitBatch,
    Durability,
    HeadChange,
)
from durable_core.model.entries import EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow
from durable_sqlite import LocalBackend

CHILDREN = Path(__file__).parent / "children.py"


@frozen
class Rows:
    """Makes the rows of executions by number: execution 1 has the id 00…01."""

    owner: str = "owner-1"

    def execution_id(self, number: int) -> bytes:
        return number.to_bytes(16, "big")

    def execution(self, number: int, **changes: Any) -> ExecutionRow:
        row = ExecutionRow(
            execution_id=self.execution_id(number),
            workflow="checkout",
            execution_key=None,
            kind="workflow",
            status="running",
            generation=0,
            key_id=1,
            sealed=True,
            stamped=True,
            owner_id=self.owner,
            owner_epoch=1,
            entry_count=1,
            head_hmac=b"h" * 32,
            anchor_mac=b"a" * 32,
            created_at=1000,
            updated_at=1000,
            finalized_at=None,
        )
        return row._replace(**changes)

    def entry(self, number: int, entry_no: int, **changes: Any) -> JournalRow:
        row = JournalRow(
            execution_id=self.execution_id(number),
            entry_no=entry_no,
            generation=0,
            step_id=str(entry_no),
            entry_kind=EntryKind.STEP_RESULT,
            fingerprint=b"f" * 32,
            idem_key=b"i" * 32,
            effect_class=1,
            detail=None,
            payload=b"\x00\x00payload",
            payload_version=1,
            hmac=b"m" * 32,
            created_at=1000,
        )
        return row._replace(**changes)

    def change(self, number: int, count: int, **changes: Any) -> HeadChange:
        """From `count - 1` entries to `count`."""
        change = HeadChange(
            execution_id=self.execution_id(number),
            owner_epoch=1,
            expected_status="running",
            expected_count=count - 1,
            status="running",
            generation=0,
            entry_count=count,
            head_hmac=b"H" * 32,
            anchor_mac=b"A" * 32,
            updated_at=2000,
            finalized_at=None,
        )
        return change._replace(**changes)

    def start(self, *numbers: int, **changes: Any) -> CommitBatch:
        return CommitBatch(
            tuple(self.execution(number, **changes) for number in numbers),
            (),
            tuple(
                self.entry(number, 1, entry_kind=EntryKind.EXECUTION_STARTED) for number in numbers
            ),
        )

    def advance(self, count: int, *numbers: int, **changes: Any) -> CommitBatch:
        """Entry `count` of each execution."""
        return CommitBatch(
            (),
            tuple(self.change(number, count, **changes) for number in numbers),
            tuple(self.entry(number, count) for number in numbers),
        )

    async def finish(
        self,
        backend: LocalBackend,
        number: int,
        status: str,
        at: int,
    ) -> BatchOutcome:
        """Start an execution that has ended."""
        start = self.start(number, status=status, finalized_at=at, execution_key=str(number))
        return await backend.journal.append(start)


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


@pytest_asyncio.fixture(params=["file", "memory"])
async def either(request: pytest.FixtureRequest, opener: Opener) -> LocalBackend:
    return await opener("sqlite://:memory:" if request.param == "memory" else None)


@pytest.fixture
def child() -> Callable[..., subprocess.Popen[str]]:
    """Starts one job of `children.py` in a process of its own."""

    def start(job: str, *arguments: str, failpoint: str = "") -> subprocess.Popen[str]:
        environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        if failpoint:
            environment["DURABLE_FAILPOINT"] = failpoint
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(CHILDREN), job, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
