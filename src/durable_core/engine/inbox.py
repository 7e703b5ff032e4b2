"""Answers what outsiders asked of executions: each request is journaled or refused, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.administration import Administration
from durable_core.engine.messages import SIGNAL, read_signal
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.requests import CANCEL, RESUME, read_settle, settle_step
from durable_core.engine.resolving import RESOLVE, read_resolution, resolved_by
from durable_core.engine.roster import Roster
from durable_core.engine.takeover import require_not_terminal
from durable_core.errors import (
    ConfigError,
    DurableError,
    ExecutionError,
    ExecutionLocked,
    JournalUnavailable,
)
from durable_core.ids import ExecutionId
from durable_core.model.execution import ExecutionRow

__all__ = ["Inbox"]

_LOG: Final = logging.getLogger("durable_core.engine")


class Inbox:
    """The requests that one engine answers. Used by its watch alone."""

    def __init__(
        self,
        parts: EngineParts,
        roster: Roster,
        ownership: Ownership,
        administration: Administration,
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._administration = administration
        self._answering: dict[tuple[bytes, str], asyncio.Task[None]] = {}
        self._left: set[tuple[bytes, str]] = set()

    async def close(self) -> None:
        """Stop; requests that are not answered yet wait for the next owner."""
        tasks = set(self._answering.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def answer(self) -> None:
        """Begin to answer every new request; one that takes long does not hold up the others."""
        self._begin(await self._parts.backend.read_inbox(self._parts.journal.owner_id))

    async def answer_for_the_dead(self) -> None:
        """Begin to answer the requests that were filed with an owner that did not live to do it."""
        requests = []
        for request in await self._parts.backend.read_inbox():
            row = await self._parts.backend.load(request.execution_id)
            if row is not None and not await self._ownership.held_elsewhere(row):
                requests.append(request)
        self._begin(requests)

    def _begin(self, requests: Sequence[InboxRow]) -> None:
        """Each in a task of its own, but the signals of one execution in one, as they were sent."""
        places: dict[tuple[bytes, str], list[InboxRow]] = {}
        for request in requests:
            slot = SIGNAL if request.kind == SIGNAL else request.slot
            if (request.execution_id, request.slot) not in self._left:
                places.setdefault((request.execution_id, slot), []).append(request)
        for place, waiting in places.items():
            if place not in self._answering:
                task = asyncio.create_task(self._answer_in_order(waiting), name="durable-request")
                self._answering[place] = task
                task.add_done_callback(partial(self._answered, place))

    async def _answer_in_order(self, requests: Sequence[InboxRow]) -> None:
        for request in requests:
            if not await self._answer(request):
                return

    async def _answer(self, request: InboxRow) -> bool:
        """Journal or refuse one request; False where it stays for the next round, or for good."""
        try:
            await self._follow(request)
        except (ExecutionLocked, JournalUnavailable) as error:
            _LOG.debug("a request is answered later, or by another engine: %s", error)
            return False
        except ConfigError as error:
            self._left.add((request.execution_id, request.slot))
            _LOG.warning("a request waits for an engine with its key: %s", error)
            return False
        except ExecutionError as error:
            _LOG.info("a request to an execution was refused: %s", error)
        except DurableError as error:
            _LOG.warning("a request was refused: %s: %s", type(error).__name__, error)
        except Exception as error:  # noqa: BLE001 - one request must not end the others
            _LOG.error("a request could not be answered: %s", type(error).__name__)
        with suppress(JournalUnavailable):
            await self._parts.backend.remove_inbox(request.execution_id, request.slot)
            return True
        return False

    async def _hand_over(self, row: ExecutionRow, request: InboxRow) -> None:
        """Journaled by the run that it is for; until there is one, the request waits."""
        require_not_terminal(row)
        execution = self._roster.running(ExecutionId(bytes=row.execution_id))
        if execution is None:
            message = "the execution does not run here; the request is for its run"
            raise ExecutionLocked(message)
        if request.kind == SIGNAL:
            await execution.signal(*read_signal(self._parts, row, request))
            return
        resolution = read_resolution(self._parts.wire, row, request)
        await execution.resolve(resolved_by(request), resolution)

    def _answered(self, place: tuple[bytes, str], _: asyncio.Task[None]) -> None:
        del self._answering[place]

    async def _follow(self, request: InboxRow) -> None:
        execution_id = ExecutionId(bytes=request.execution_id)
        if request.kind == CANCEL:
            await self._administration.cancel(execution_id)
            return
        if request.kind == RESUME:
            await self._administration.resume_anyhow(execution_id)
            return
        row = await self._ownership.load(execution_id)
        if request.kind in {RESOLVE, SIGNAL}:
            await self._hand_over(row, request)
            return
        payload = read_settle(self._parts, row, request)
        await self._administration.journal_settlement(execution_id, settle_step(request), payload)
