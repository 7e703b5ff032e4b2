"""The kit's child processes: one that cannot do its job says why, and ends."""

from __future__ import annotations

import asyncio
from typing import cast

from durable_core.conformance.harness import BackendHarness
from durable_core.conformance.processes import started
from durable_core.contracts import ExecutionBackend
from tests.unit.conformance.conftest import MemoryHarness
from tests.unit.conformance.stubborn import Stubborn


class StubbornHarness(MemoryHarness):
    @property
    def backend(self) -> type[ExecutionBackend]:
        return cast("type[ExecutionBackend]", Stubborn)


async def test_a_child_ends_when_one_of_several_opens_fails() -> None:
    """What the others have opened is closed; it would keep the process alive."""
    harness: BackendHarness = StubbornHarness()
    async with started(harness, "open") as child:
        assert await child.line() == "ready"
        child.go()
        out, err = await asyncio.to_thread(child.process.communicate)
    assert (child.process.returncode, out) == (1, "")
    assert "JournalUnavailable: refused for the test" in err
