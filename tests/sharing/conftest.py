"""What the tests of several processes on one journal may ask for."""

from __future__ import annotations

import pytest

from tests.sharing.commanding import Operator


@pytest.fixture
def durable(url: str, key: str) -> Operator:
    return Operator(url, key)
