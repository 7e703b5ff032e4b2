"""What tests of the registry may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.fabricated import Site, isolated


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An environment in which nothing is installed but what the test adds."""
    with isolated(tmp_path) as site:
        yield site
