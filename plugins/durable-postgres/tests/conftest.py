"""A real server for the whole run, an empty database for each test, and rows that are right."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from attrs import field, mutable

pytest.register_assert_rewrite("durable_core.conformance")

from durable_core.conformance.rows import Rows
from durable_core.contracts import BackendSettings, Durability
from durable_postgres import PostgresBackend
from tests.emptying import make_empty
from tests.partitions import make_partitioned
from tests.postgres import GIVEN, Server, database_url, temporary_server

CHILDREN = Path(__file__).parent / "children.py"


@mutable
class Opener:
    """Opens backends on one database and closes them after the test."""

    url: str
    stack: AsyncExitStack = field(factory=AsyncExitStack)

    async def __call__(self, url: str | None = None, **changes: Any) -> PostgresBackend:
        fields: dict[str, Any] = {"durability": Durability.FULL, "ack_timeout_ms": 5000, **changes}
        backend = await PostgresBackend.open(url or self.url, BackendSettings(**fields))
        self.stack.push_async_callback(backend.close)
        return backend


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A superuser's URL on the server that is given, or on one that lives as long as the run."""
    given = os.environ.get(GIVEN)
    if given:
        yield given
        return
    with temporary_server(syncs=False) as running:
        yield running.url()


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """A server that a test may restart, whatever else is given."""
    with temporary_server() as running:
        yield running


@asynccontextmanager
async def new_database(server: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(server)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    try:
        yield database_url(server, name)
    finally:
        admin = await asyncpg.connect(server)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_url(server: str) -> AsyncIterator[str]:
    """One database for many tests, each of which empties it: that is faster than to make one."""
    async with new_database(server) as address:
        yield address


@pytest_asyncio.fixture
async def url(shared_url: str) -> str:
    """An empty database."""
    await make_empty(shared_url)
    return shared_url


@pytest_asyncio.fixture
async def own_url(own_server: Server) -> AsyncIterator[str]:
    """A new, empty database on the server that may be restarted."""
    async with new_database(own_server.url()) as address:
        yield address


@pytest_asyncio.fixture
async def own_admin(own_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Another session in the database on the server that may be restarted."""
    connection = await asyncpg.connect(own_url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def admin(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Another session in the database of the test."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def opener(url: str) -> AsyncIterator[Opener]:
    opener = Opener(url)
    async with opener.stack:
        yield opener


@pytest_asyncio.fixture(params=["plain", "partitioned"])
async def backend(request: pytest.FixtureRequest, opener: Opener) -> PostgresBackend:
    """Also on tables that are partitioned, as a large or sharded database would have them."""
    if request.param == "partitioned":
        await make_partitioned(opener.url)
    return await opener()


@pytest.fixture
def rows() -> Rows:
    return Rows()


Child = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def child() -> Iterator[Child]:
    """Starts one job of `children.py` in a process of its own, which ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(job: str, *arguments: str, failpoint: str = "") -> subprocess.Popen[str]:
        environment = {"PYTHONPATH": ":".join(filter(None, sys.path))}
        if failpoint:
            environment["DURABLE_FAILPOINT"] = failpoint
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(CHILDREN), job, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()
