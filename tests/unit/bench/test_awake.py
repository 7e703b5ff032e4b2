"""What keeps the cores awake is gone when the sample has been taken."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from bench.awake import kept_awake


async def test_a_process_spins_on_each_core_until_the_sample_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spinning: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            spinning.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)

    async def sample() -> float:
        assert [process.poll() for process in spinning] == [None] * (os.cpu_count() or 1)
        return 7.0

    assert await kept_awake(sample)() == 7.0
    assert {process.returncode for process in spinning} == {-9}

    async def failing() -> float:
        raise LookupError

    with pytest.raises(LookupError):
        await kept_awake(failing)()
    assert {process.returncode for process in spinning} == {-9}
