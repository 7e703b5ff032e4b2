"""What a backend declares: notices, evictions, and whether several hosts share it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from durable_core.config import DurableConfig
from durable_core.conformance.harness import BackendContract, BackendHarness
from durable_core.conformance.rows import Rows
from durable_core.contracts import CommitBatch, ExecutionBackend, Notice, NoticeKind
from durable_core.engine.engine import DurableEngine
from durable_core.errors import ConfigError
from durable_core.model.execution import ANYONE, NOBODY

__all__ = ["CapabilityContract", "EvictionContract", "NoticeContract"]

PATIENCE_S = 10
"""How long what was promised may take. Nothing waits that long where the promise is kept."""


class CapabilityContract(BackendContract):
    """The declaration is the expected one, and the engine acts on it."""

    async def test_the_declaration_is_the_expected_one(self, harness: BackendHarness) -> None:
        assert harness.backend.capabilities == harness.capabilities

    async def test_what_is_not_declared_is_inherited(self, harness: BackendHarness) -> None:
        """And what is declared is the backend's own."""
        for name, declared in (
            ("listen", harness.capabilities.notifies),
            ("evict", harness.capabilities.evicts),
        ):
            own = getattr(harness.backend, name) is not getattr(ExecutionBackend, name)
            assert own == declared, name

    async def test_inv_08_encryption_is_switched_off_only_where_nobody_shares(
        self, harness: BackendHarness, caplog: pytest.LogCaptureFixture
    ) -> None:
        config = DurableConfig(encrypt_payload=False)
        opened = DurableEngine.open(harness.url, workflows=[], config=config, keys="")
        if harness.capabilities.shared:
            with pytest.raises(ConfigError, match="encrypt_payload"):
                async with opened:
                    pass
            return
        with caplog.at_level(logging.WARNING, "durable_core"):
            async with opened as engine:
                assert await engine.list() == []
        assert any("encrypt_payload" in record.getMessage() for record in caplog.records)


class NoticeContract(BackendContract):
    """Others hear what was committed where the backend notifies, and nothing where it does not."""

    async def _listening(
        self, harness: BackendHarness, owner: str
    ) -> tuple[ExecutionBackend, asyncio.Queue[Notice]]:
        backend = await harness.open()
        heard: asyncio.Queue[Notice] = asyncio.Queue()
        await backend.hold_owner_lock(owner)
        backend.listen(heard.put_nowait)
        return backend, heard

    async def _expect(
        self, harness: BackendHarness, heard: asyncio.Queue[Notice], *wanted: Notice
    ) -> None:
        if not harness.capabilities.notifies:
            for _ in range(5):
                await asyncio.sleep(0)
            assert heard.empty()
            return
        missing = set(wanted)
        async with asyncio.timeout(PATIENCE_S):
            while missing:
                missing.discard(await heard.get())

    async def test_an_end_is_heard(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        _, heard = await self._listening(harness, "listener")
        await backend.journal.append(rows.start(1, 2))
        await backend.journal.append(rows.advance(2, 1, status="completed", finalized_at=9))
        await self._expect(harness, heard, Notice(NoticeKind.ENDED, rows.execution_id(1)))
        blocked = rows.change(2, 1, expected_count=1, status="blocked")
        await backend.journal.append(CommitBatch((), (blocked,), ()))
        await self._expect(harness, heard, Notice(NoticeKind.ENDED, rows.execution_id(2)))

    async def test_an_end_by_finalize_is_heard(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        _, heard = await self._listening(harness, "listener")
        await backend.journal.append(rows.start(1))
        change = rows.change(1, 2, status="failed", finalized_at=9)
        await backend.journal.finalize(change, rows.entry(1, 2, entry_kind=10))
        await self._expect(harness, heard, Notice(NoticeKind.ENDED, rows.execution_id(1)))

    async def test_a_request_is_heard(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        _, heard = await self._listening(harness, "listener")
        await backend.journal.append(rows.start(1))
        await backend.post_inbox(rows.request(1))
        await self._expect(harness, heard, Notice(NoticeKind.REQUEST, rows.execution_id(1)))

    async def test_what_waits_for_an_engine_is_heard(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        _, heard = await self._listening(harness, "listener")
        await backend.journal.append(rows.start(1, owner_id=ANYONE))
        await self._expect(harness, heard, Notice(NoticeKind.WAITING, rows.execution_id(1)))
        await backend.journal.append(rows.start(2))
        assert await backend.claim(rows.execution(2), NOBODY, 5000) is not None
        await self._expect(harness, heard, Notice(NoticeKind.WAITING, rows.execution_id(2)))

    async def test_every_listener_hears_it(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        listeners = [await self._listening(harness, f"listener-{n}") for n in range(3)]
        await backend.journal.append(rows.start(1))
        await backend.journal.append(rows.advance(2, 1, status="completed", finalized_at=9))
        for _, heard in listeners:
            await self._expect(harness, heard, Notice(NoticeKind.ENDED, rows.execution_id(1)))

    async def test_what_was_fenced_or_refused_is_not_heard(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        """What is heard after it shows that it would have been heard by then."""
        _, heard = await self._listening(harness, "listener")
        await backend.journal.append(rows.start(1, 2))
        ended = {"status": "completed", "finalized_at": 9}
        await backend.journal.append(rows.advance(2, 1, owner_epoch=5, **ended))
        await backend.journal.append(rows.advance(2, 2, **ended))
        if not harness.capabilities.notifies:
            await self._expect(harness, heard)
            return
        notices = []
        async with asyncio.timeout(PATIENCE_S):
            while Notice(NoticeKind.ENDED, rows.execution_id(2)) not in notices:
                notices.append(await heard.get())
        assert Notice(NoticeKind.ENDED, rows.execution_id(1)) not in notices

    async def test_a_closed_backend_hears_nothing(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        closed, silent = await self._listening(harness, "closed")
        _, heard = await self._listening(harness, "listener")
        await closed.close()
        await backend.journal.append(rows.start(1, owner_id=ANYONE))
        await self._expect(harness, heard, Notice(NoticeKind.WAITING, rows.execution_id(1)))
        assert silent.empty()


class EvictionContract(BackendContract):
    """A living owner's session is ended where the backend evicts, and stands where it does not."""

    async def test_a_dead_owner_is_dead(self, backend: ExecutionBackend) -> None:
        assert await backend.evict("absent")

    async def test_a_living_owner_is_evicted_where_that_is_declared(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        owner = await harness.open()
        standings: asyncio.Queue[bool] = asyncio.Queue()
        await owner.hold_owner_lock("owner-1", standings.put_nowait)
        await owner.journal.append(rows.start(1))
        assert await backend.owner_alive("owner-1")
        if not harness.capabilities.evicts:
            assert not await backend.evict("owner-1")
            assert await backend.owner_alive("owner-1")
            assert standings.empty()
            assert not (await owner.journal.append(rows.advance(2, 1))).unmatched
            return
        assert await backend.evict("owner-1")
        async with asyncio.timeout(PATIENCE_S):
            assert await standings.get() is False
            assert await standings.get() is True
        assert await backend.owner_alive("owner-1")
        assert await backend.list_executions() == [rows.execution(1)]

    async def test_an_evicted_owner_is_fenced_once_its_execution_is_claimed(
        self, harness: BackendHarness, backend: ExecutionBackend, rows: Rows
    ) -> None:
        owner = await harness.open()
        await owner.hold_owner_lock("owner-1")
        await owner.journal.append(rows.start(1))
        assert await backend.evict("owner-1") == harness.capabilities.evicts
        assert await backend.claim(rows.execution(1), "other", 5000) is not None
        late = await owner.journal.append(rows.advance(2, 1))
        assert late.unmatched == {rows.execution_id(1)}

    async def test_only_the_named_owner_is_evicted(
        self, harness: BackendHarness, backend: ExecutionBackend
    ) -> None:
        owner = await harness.open()
        await owner.hold_owner_lock("standing")
        assert await backend.evict("absent")
        assert await backend.owner_alive("standing")
