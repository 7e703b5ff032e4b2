"""What every test may ask for: a key, the URL of a journal of its own, a way to open an engine."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from durable_core import DurableConfig, DurableEngine
from durable_core.contracts import KeyProvider
from durable_core.registry import Registry
from tests.engines import AnyWorkflow, OpenEngine
from tests.journals import MASTER, key_text, sqlite_url


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees settings of the machine, or leaves a file where another would find it."""
    for variable in [name for name in os.environ if name.startswith("DURABLE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def key() -> str:
    """Key id 1 in the spelling of `DURABLE_KEY`."""
    return key_text((1, MASTER))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A SQLite journal that does not exist yet."""
    return sqlite_url(tmp_path / "journal.db")


@pytest.fixture
def open_engine(url: str, key: str) -> OpenEngine:
    """Opens an engine on `url` with `key`; see `tests.engines.OpenEngine`."""

    def open_it(
        *workflows: AnyWorkflow,
        keys: str | KeyProvider | None = key,
        recover: bool = True,
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
            registry=registry,
        )

    return open_it
