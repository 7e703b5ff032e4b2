"""What every test may ask for: a key, the URL of a journal of its own, a way to open an engine."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

pytest.register_assert_rewrite("durable_core.conformance")

from durable_core import DurableConfig, DurableEngine
from durable_core.contracts import KeyProvider
from durable_core.registry import Registry
from tests.dialects import DIALECTS, new_postgres, server_url
from tests.engines import AnyWorkflow, OpenEngine
from tests.journals import MASTER, key_text, path_of, sqlite_url
from tests.leaks import Evidence, collecting
from tests.passing import Passing
from tests.tampering import KEYS, Written, other, write
from tests.untimed import run_untimed

run_untimed()

_SERVER = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--dialect",
        choices=DIALECTS,
        default=DIALECTS[0],
        help="the database that the tests run on; see tests/dialects.py",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what is meant to run on this database."""
    if config.getoption("--dialect") == DIALECTS[0]:
        fitting = [item for item in items if not item.get_closest_marker("postgres")]
    else:
        config.stash[_SERVER] = server_url()
        fitting = [item for item in items if _runs_on_postgres(item)]
    kept = set(fitting)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = fitting


def _runs_on_postgres(item: pytest.Item) -> bool:
    if item.get_closest_marker("postgres"):
        return True
    return bool(item.get_closest_marker("dialects") and not item.get_closest_marker("files"))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees settings of the machine, or leaves a file where another would find it."""
    for variable in [name for name in os.environ if name.startswith("DURABLE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    """Lets time limits pass at once; see `tests.passing`."""
    return Passing(monkeypatch)


@pytest.fixture
def key() -> str:
    """Key id 1 in the spelling of `DURABLE_KEY`."""
    return key_text((1, MASTER))


@pytest.fixture
def url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A journal that does not exist yet: a SQLite file, or an empty schema of a server."""
    if request.config.getoption("--dialect") == DIALECTS[0]:
        yield sqlite_url(tmp_path / "journal.db")
        return
    with new_postgres(request.config.stash[_SERVER]) as database:
        yield database


@pytest.fixture(scope="session")
def installed() -> Registry:
    """What is installed, found once: that takes longer than all else that opens an engine."""
    return Registry.discover()


@pytest.fixture
def open_engine(url: str, key: str, installed: Registry) -> OpenEngine:
    """Opens an engine on `url` with `key`; see `tests.engines.OpenEngine`."""

    def open_it(
        *workflows: AnyWorkflow,
        keys: str | KeyProvider | None = key,
        recover: bool = True,
        claim: bool = False,
        registry: Registry | None = None,
        **settings: Any,
    ) -> AbstractAsyncContextManager[DurableEngine]:
        config = DurableConfig(**settings)
        return DurableEngine.open(
            url,
            workflows=workflows,
            config=config,
            keys=keys,
            recover=recover,
            claim=claim,
            registry=registry or installed,
        )

    return open_it


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A journal that an engine wrote, once; see `tests.tampering`."""
    return asyncio.run(write(tmp_path_factory.mktemp("original") / "journal.db"))


@pytest.fixture
def written(original: Written, url: str) -> Written:
    """A copy of that journal, as the test's own."""
    shutil.copyfile(original.path, path_of(url))
    return evolve(original, path=path_of(url))


@pytest.fixture
def reopened(open_engine: OpenEngine, written: Written) -> OpenEngine:
    """Opens an engine on that copy. Segments of two rows, so that damage comes late in a replay."""

    def open_it(*_: AnyWorkflow, **settings: Any) -> AbstractAsyncContextManager[DurableEngine]:
        settings = {"keys": KEYS, "recover": False, "replay_segment": 2, **settings}
        return open_engine(written.program, other, **settings)

    return open_it


@pytest.fixture
async def evidence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Evidence]:
    """Collects during the test; a test that asks for it must not leak."""
    with collecting(tmp_path, monkeypatch) as collected:
        yield collected
    collected.files("when it is closed")
    assert collected.leaks() == []
    assert collected.records, "something was logged at all"
