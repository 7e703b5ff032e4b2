"""Answers what outsiders asked of executions: each request is journaled or refused, once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from durable_core.contracts.exchange import InboxRow
from durable_core.engine.administration import Administration
from durable_core.engine.delivering import resolve, signal, takes, takes_signals
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.requests import CANCEL, RESUME, read_settle, settle_step
from durable_core.engine.resolving import RESOLVE, read_resolution, resolved_by
from durable_core.engine.roster import Roster
from durable_core.engine.signals import SIGNAL, read_signal
from durable_core.engine.succession import Successions
from durable_core.engine.takeover import require_not_terminal
from durable_core.errors import (
    ConfigError,
    DurableError,
    ExecutionError,
    ExecutionFenced,
    ExecutionLocked,
    JournalUnavailable,
)
from durable_core.ids import ExecutionId
from durable_core.model.execution import TERMINAL, ExecutionRow, Status, status_of

__all__ = ["Inbox"]

_LOG: Final = logging.getLogger("durable_core.engine")

_AT_ONCE: Final = 100
_EVERYTHING: Final = 10_000
_REFUSING: Final = frozenset(TERMINAL - {Status.FAILED})
"""A failed execution may be resumed, and wait for the promise again."""

_OF_A_RUN: Final = frozenset({RESOLVE, SIGNAL})
"""What the run of an execution journals, in its turn."""

Ready = Callable[[list[InboxRow]], Awaitable[list[InboxRow]]]


class Inbox:
    """The requests that one engine answers. Used by its watch alone."""

    def __init__(
        self,
        parts: EngineParts,
        roster: Roster,
        ownership: Ownership,
        administration: Administration,
        successions: Successions,
    ) -> None:
        self._parts = parts
        self._roster = roster
        self._ownership = ownership
        self._administration = administration
        self._successions = successions
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
        self._begin(await self._read(self._parts.journal.owner_id, self._ready))

    async def answer_for_the_dead(self) -> None:
        """Begin to answer the requests that were filed with an owner that did not live to do it."""
        self._begin(await self._read(None, self._of_the_dead))

    async def _read(self, owner_id: str | None, ready: Ready) -> list[InboxRow]:
        """The oldest requests that can be answered now.

        What cannot be answered yet stays in the inbox, and must not keep the rest from being read:
        more are read until most of them can be.
        """
        limit = _AT_ONCE
        while True:
            found = await self._parts.backend.read_inbox(owner_id, limit)
            new = [request for request in found if not self._is_known(request)]
            answerable = await ready(new) if new else new
            if len(found) < limit or len(answerable) > limit // 2 or limit >= _EVERYTHING:
                return answerable
            limit = min(4 * limit, _EVERYTHING)

    async def _ready(self, requests: list[InboxRow]) -> list[InboxRow]:
        """All but what is for a run that has not come to it here."""
        idle = {each.execution_id for each in requests if self._is_idle(each)}
        refusing = {row.execution_id for row in await self._rows(idle) if _is_refusing(row)}
        return [
            request
            for request in requests
            if request.kind not in _OF_A_RUN
            or self._is_awaited(request)
            or request.execution_id in refusing
        ]

    async def _of_the_dead(self, requests: list[InboxRow]) -> list[InboxRow]:
        """Those for executions that no other engine has, which lives."""
        rows = await self._rows({request.execution_id for request in requests})
        owners = {row.owner_id: row for row in rows}
        held = {
            owner_id
            for owner_id, row in owners.items()
            if await self._ownership.held_elsewhere(row)
        }
        free = {row.execution_id for row in rows if row.owner_id not in held}
        return await self._ready([each for each in requests if each.execution_id in free])

    async def _rows(self, execution_ids: set[bytes]) -> list[ExecutionRow]:
        return await self._parts.backend.heads(sorted(execution_ids)) if execution_ids else []

    def _is_idle(self, request: InboxRow) -> bool:
        execution_id = ExecutionId(bytes=request.execution_id)
        return request.kind in _OF_A_RUN and self._roster.running(execution_id) is None

    def _is_awaited(self, request: InboxRow) -> bool:
        execution = self._roster.running(ExecutionId(bytes=request.execution_id))
        if request.kind == SIGNAL:
            return execution is not None and takes_signals(execution.run)
        try:
            promise = resolved_by(request)
        except ValueError:
            return True  # no slot that a resolver files: to be refused
        return execution is not None and takes(execution.run, promise)

    def _is_known(self, request: InboxRow) -> bool:
        place = (request.execution_id, request.slot)
        return _place_of(request) in self._answering or place in self._left

    def _begin(self, requests: Sequence[InboxRow]) -> None:
        """Each in a task of its own, but the signals of one execution in one, as they were sent."""
        places: dict[tuple[bytes, str], list[InboxRow]] = {}
        for request in requests:
            if not self._is_known(request):
                places.setdefault(_place_of(request), []).append(request)
        for place, waiting in places.items():
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
            if await self._follow(request):
                return True
        except (ExecutionLocked, ExecutionFenced, JournalUnavailable) as error:
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
        """Journaled by the run that it is for; until there is one, the request waits.

        A signal to what was continued is filed with what continues it.
        """
        if _is_refusing(row):
            if request.kind == SIGNAL and await self._successions.carry_on(row.execution_id):
                return
            require_not_terminal(row)
        execution = self._roster.running(ExecutionId(bytes=row.execution_id))
        if execution is None:
            message = "the execution does not run here; the request is for its run"
            raise ExecutionLocked(message)
        if request.kind == SIGNAL:
            sent = read_signal(self._parts.wire, row, request)
            await signal(execution.run, execution.execution_id, *sent)
            return
        resolution = read_resolution(self._parts.wire, row, request)
        promise = resolved_by(request)
        await resolve(execution.run, execution.execution_id, promise, resolution)

    def _answered(self, place: tuple[bytes, str], _: asyncio.Task[None]) -> None:
        del self._answering[place]

    async def _follow(self, request: InboxRow) -> bool:
        """Whether the request is gone already with what was done."""
        execution_id = ExecutionId(bytes=request.execution_id)
        if request.kind == CANCEL:
            await self._administration.cancel(execution_id, filed=True)
            return False
        if request.kind == RESUME:
            return await self._administration.resume_filed(execution_id)
        row = await self._ownership.load(execution_id)
        if request.kind in _OF_A_RUN:
            await self._hand_over(row, request)
            return False
        payload = read_settle(self._parts, row, request)
        step_id = settle_step(request)
        await self._administration.journal_settlement(execution_id, step_id, payload, request)
        return True


def _place_of(request: InboxRow) -> tuple[bytes, str]:
    """What is answered by one task."""
    return request.execution_id, SIGNAL if request.kind == SIGNAL else request.slot


def _is_refusing(row: ExecutionRow) -> bool:
    """Whether nobody will ever wait for a promise of that execution again."""
    return status_of(row.status) in _REFUSING
