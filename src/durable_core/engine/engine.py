"""DurableEngine: opens a journal, starts and finds executions, and hands out handles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, ParamSpec, TypeVar, cast

from attrs import evolve

from durable_core.config import DurableConfig
from durable_core.contracts.exchange import Notice, NoticeKind
from durable_core.contracts.keys import KeyProvider
from durable_core.engine.administration import Administration
from durable_core.engine.arguments import (
    check_arguments,
    check_limit,
    check_place,
    pair_of,
    workflow_name,
)
from durable_core.engine.compose import compose
from durable_core.engine.definition import Workflow
from durable_core.engine.handle import ExecutionHandle
from durable_core.engine.inbox import Inbox
from durable_core.engine.messages import Sender
from durable_core.engine.outcome import Outcome
from durable_core.engine.outcomes import Outcomes
from durable_core.engine.ownership import Ownership
from durable_core.engine.parts import EngineParts
from durable_core.engine.recovery import Recovery
from durable_core.engine.resolving import Resolver
from durable_core.engine.retention import Retention, RetentionReport
from durable_core.engine.roster import Roster
from durable_core.engine.starting import Starter
from durable_core.engine.succession import Successions
from durable_core.engine.takeover import Takeover
from durable_core.engine.verification import VerifyReport, verify
from durable_core.engine.watch import Watch
from durable_core.errors import ConfigError, ExecutionNotFound
from durable_core.ids import ExecutionId, PromiseId, execution_id_of, promise_id_of
from durable_core.journal.settings import WriterHealth
from durable_core.model.execution import ExecutionRow, Status
from durable_core.registry import Registry

__all__ = ["DurableEngine"]

P = ParamSpec("P")
T = TypeVar("T")


class DurableEngine:
    """One opened journal and the executions that run in it. Made by `DurableEngine.open`.

    For any task of the event loop that opened it, and for no other process: an engine does not
    survive a fork.
    """

    def __init__(self, parts: EngineParts, roster: Roster, *, recover: bool, claim: bool) -> None:
        self.parts = parts
        self._roster = roster
        self._ownership = Ownership(parts)
        self._successions = Successions(parts)
        self._starter = Starter(parts, roster, self._ownership, self._successions)
        self._takeover = Takeover(parts, roster, self._ownership)
        self._outcomes = Outcomes(parts, roster, self._ownership, self._takeover)
        self._administration = Administration(
            parts, roster, self._ownership, self._takeover, self._successions
        )
        self._recovery = Recovery(
            parts, roster, self._ownership, self._takeover, recover=recover, claim=claim
        )
        inbox = Inbox(parts, roster, self._ownership, self._administration, self._successions)
        parts.kin.bind(
            self._starter.start,
            self._outcomes.of,
            self._administration.cancel,
            roster.require,
            self._successions.latest,
            roster.sole,
        )
        self._sender = Sender(parts)
        self._resolver = Resolver(
            parts.backend,
            parts.wire,
            parts.codec,
            parts.clock,
            parts.config.journal_ack_timeout_ms,
            roster.check_resolution,
        )
        self._watch = Watch(parts, self._recovery, inbox)
        self._retention = Retention(parts)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str | None = None,
        *,
        workflows: Sequence[Workflow[..., Any]] = (),
        config: DurableConfig | None = None,
        keys: str | KeyProvider | None = None,
        recover: bool = True,
        claim: bool = False,
        max_concurrent_executions: int | None = None,
        registry: Registry | None = None,
    ) -> AsyncIterator[DurableEngine]:
        """Open a journal; on leaving, drain, stop and release everything.

        `url` overrides the configuration's. `keys` is a `DURABLE_KEY`-style string or a provider;
        None asks the environment, then the configuration. With `recover`, running executions of
        `workflows` whose owner is dead are claimed and resumed, now and whenever one turns up.
        With `claim` this engine is a worker: it also runs what was started with `run="anywhere"`.
        It claims no more than it has room for: `max_concurrent_executions`, which overrides the
        configuration's, or 256. Executions that only wait (for a time, a promise, a signal, a
        child) take no room.

        Raises `ConfigError` (URL, keys, names, INV-8), `PluginError`, `SchemaTooNew`,
        `JournalUnavailable`; nothing stays open then.
        """
        check_arguments(workflows, config)
        roster = Roster(workflows)
        settings = config or DurableConfig.load()
        if max_concurrent_executions is not None:
            settings = evolve(settings, max_concurrent_executions=max_concurrent_executions)
        async with compose(url, settings, keys, registry) as parts:
            engine = cls(parts, roster, recover=recover, claim=claim)
            roster.open(settings.max_concurrent_executions, parts)
            try:
                await engine._recovery.look()
                engine._watch.start(recover=recover)
                engine._retention.start()
                yield engine
            finally:
                await engine._close()

    async def start(
        self,
        workflow: Workflow[P, T],
        /,
        *args: Any,
        key: str | None = None,
        on_conflict: Literal["error", "existing"] = "error",
        run: Literal["here", "anywhere"] = "here",
        **kwargs: Any,
    ) -> ExecutionHandle[T]:
        """Start an execution, or find the one that has `key`; durable when it returns.

        With `run="anywhere"` it is left to whichever engine is opened with `claim=True` and has
        registered the workflow, this one included; the workflow need not be registered here.

        Of executions that continue each other the latest is found. `KeyConflict` if the key's
        execution was started with other arguments, unless `on_conflict="existing"`, or it continues
        another one, which has set its arguments. Also `ConfigError` for a workflow that is not
        registered, `TypeError`/`DecodeError` for arguments that do not fit, `PayloadTooLarge`,
        `JournalUnavailable`.
        """
        self._roster.require_open()
        check_place(run)
        execution_id = await self._starter.start(
            workflow,
            args,
            kwargs,
            key=key,
            on_conflict=on_conflict,
            anywhere=run == "anywhere",
        )
        return ExecutionHandle(self, execution_id, key)

    async def run(
        self,
        workflow: Workflow[P, T],
        /,
        *args: Any,
        key: str | None = None,
        on_conflict: Literal["error", "existing"] = "error",
        **kwargs: Any,
    ) -> T:
        """`start`, then the result; the start may share a commit with the first intent.

        Of many at once, each begins when the journal's queue is short enough for what it does.
        """
        self._roster.require_open()
        execution_id = await self._starter.start(
            workflow,
            args,
            kwargs,
            key=key,
            on_conflict=on_conflict,
            acknowledged=key is not None,
        )
        return cast("T", (await self._outcomes.of(execution_id)).take())

    async def get(
        self,
        which: ExecutionId | str | tuple[Workflow[P, T] | str, str],
    ) -> ExecutionHandle[Any]:
        """The handle of an execution by id, or by workflow (or its name) and key.

        `ExecutionNotFound` if there is none, `IntegrityError` if the table of keys was changed.
        """
        self._roster.require_open()
        if isinstance(which, tuple):
            name, key = pair_of(which)
            if isinstance(which[0], Workflow):
                self._roster.know(which[0])
            found = await self._ownership.find(name, key)
            if found is None:
                message = f"workflow {name!r} has no execution with that key"
                raise ExecutionNotFound(message)
            return ExecutionHandle(self, ExecutionId(bytes=found.execution_id), key)
        row = await self._ownership.load(execution_id_of(which))
        return ExecutionHandle(self, ExecutionId(bytes=row.execution_id), row.execution_key)

    async def list(
        self,
        *,
        status: Status | str | None = None,
        workflow: Workflow[..., Any] | str | None = None,
        limit: int = 100,
    ) -> list[ExecutionRow]:
        """At most `limit` (1 or more) executions, oldest first, as their committed rows."""
        self._roster.require_open()
        check_limit(limit)
        label = status.label if isinstance(status, Status) else status
        if label is not None and label not in {known.label for known in Status}:
            legal = ", ".join(known.label for known in Status)
            message = f"status {label!r} is unknown; use one of {legal}"
            raise ConfigError(message)
        return await self.parts.backend.list_executions(
            statuses=() if label is None else (label,),
            workflow=None if workflow is None else workflow_name(workflow),
            limit=limit,
        )

    async def cancel(self, execution_id: ExecutionId | str) -> None:
        """Cancel an execution; at return it is cancelled, or its live owner has the request.

        Where it was continued, the latest one that continues it.

        Guarded functions that have begun here are finished and journaled first. From within a step
        of that execution it only asks and returns at once, since the step would wait for itself.
        `ExecutionTerminal` if it has ended already, `ExecutionNotFound`.
        """
        self._roster.require_open()
        await self._administration.cancel(execution_id_of(execution_id))

    async def resume(
        self,
        execution_id: ExecutionId | str,
        *,
        run: Literal["here", "anywhere"] = "here",
    ) -> ExecutionHandle[Any]:
        """Go on with an execution here: orphaned, blocked by a divergence, or failed.

        A failed one starts a new generation that takes over every journaled result. A diverged one
        is replayed again, and starts a fresh generation if it diverges again; committed guarded
        effects are not repeated (INV-13).

        With `run="anywhere"` nothing is replayed here: it is put back to `running` and given up
        to any engine that has its workflow, durable at return; a live owner is asked to resume it
        instead. One that waits for a word on a guarded step is refused (`ExecutionError`).

        Raises `ExecutionLocked`, `ExecutionTerminal`, `ExecutionNotFound`, and with `run="here"`
        `ConfigError` for a workflow that is not registered.
        """
        self._roster.require_open()
        check_place(run)
        row = await self._administration.resume(
            execution_id_of(execution_id), anywhere=run == "anywhere"
        )
        return ExecutionHandle(self, ExecutionId(bytes=row.execution_id), row.execution_key)

    async def release(self, execution_id: ExecutionId | str, *, force: bool = False) -> None:
        """Take an execution from its owner and give it up to any engine that has its workflow.

        Durable at return. Without `force` only a dead owner loses it (`ExecutionLocked` for a live
        one). With `force` the owner's session is ended where the backend can do that, and whatever
        it still sends for this execution is refused: for a process that is stopped or cut off and
        keeps its lock. A guarded effect that was under way there then meets its policy: under FAIL
        and SKIP it is not called again; under RERUN and reconcile it may be, with the same key. A
        process that is only stopped may still make the call when it wakes: kill it before anybody
        settles with `ran=False`.
        `ExecutionTerminal`, `ExecutionNotFound`, `ExecutionError` if it runs in this engine,
        `ConfigError` without its key and `IntegrityError` for a row that was changed.
        """
        self._roster.require_open()
        await self._takeover.give_up(execution_id_of(execution_id), force=force)

    async def settle(
        self,
        execution_id: ExecutionId | str,
        step_id: str,
        *,
        ran: bool = True,
        value: object = None,
    ) -> None:
        """An operator's word on a guarded step whose outcome the journal cannot tell.

        `ran=True` with the `value` that the step should return, or `ran=False`: then it is called
        when the execution goes on. Durable at return, or filed with the live owner. A value that
        does not fit the step's annotation blocks the execution once more.
        `ExecutionError` if the execution is not blocked at that step.
        """
        self._roster.require_open()
        which = execution_id_of(execution_id)
        await self._administration.settle(which, step_id, ran=ran, value=value)

    async def resolve(self, promise_id: PromiseId | str, token: bytes, value: object) -> None:
        """Resolve a promise with `value`, once; whoever waits for it is woken, wherever it runs.

        Durable at return: the value is journaled by the engine that runs the execution, at once or
        when one does. The same value again changes nothing; with another one whoever was later
        gets `PromiseAlreadyResolved`. A value that does not fit what the workflow waits for is a
        `DecodeError` where the execution runs in this engine; another engine refuses it with a
        warning, after it was filed. The promise stays open.
        `PromiseNotFound`, `InvalidResolverToken` (before anything else is said), `DecodeError` or
        `PayloadTooLarge` for a value that cannot be encoded, `ExecutionTerminal`, `ConfigError`
        without its key.
        """
        self._roster.require_open()
        which = promise_id_of(promise_id)
        await self._resolver.resolve(which, token, value)
        self._say_requested(which.bytes)

    async def reject(self, promise_id: PromiseId | str, token: bytes, reason: str) -> None:
        """Resolve a promise so that the workflow gets `StepFailed` with `reason`; as `resolve`."""
        self._roster.require_open()
        which = promise_id_of(promise_id)
        await self._resolver.reject(which, token, reason)
        self._say_requested(which.bytes)

    async def signal(self, execution_id: ExecutionId | str, name: str, value: object) -> None:
        """Send a value to an execution, which takes it by `ctx.receive(name, ...)`.

        Durable at return: whichever engine runs the execution journals it, in the order of
        sending, once. It waits for an execution that does not receive yet, and goes to the latest
        one where the execution was continued. `ExecutionTerminal` for
        one that has ended, `ExecutionNotFound`, `DecodeError` or `PayloadTooLarge` for a value that
        cannot be encoded, `ConfigError` for a wrong name or without its key.
        """
        self._roster.require_open()
        row = await self._successions.latest(execution_id_of(execution_id))
        await self._sender.send(row, name, value)
        await self._successions.carry_on(row.execution_id)
        self._say_requested(row.execution_id)

    async def verify(self, execution_id: ExecutionId | str | None = None) -> VerifyReport:
        """Check the anchors and chains of one execution or of all; `IntegrityError` for damage."""
        self._roster.require_open()
        which = None if execution_id is None else execution_id_of(execution_id)
        return await verify(self.parts, which)

    async def prune(self, *, dry_run: bool = False) -> RetentionReport:
        """Delete what has ended and is too old or too much (`[durable.retention]`); what that was.

        With `dry_run` nothing is deleted, and the report says what would be. Also done in the
        background, every `prune_interval_secs`. Pruning an execution ends the protection of its
        guarded effects (INV-13). A child stays as long as its parent has not ended. In batches
        with pauses, so that whoever works beside it hardly notices; it takes its time.
        Raises `JournalUnavailable`; what was deleted before is deleted.
        """
        self._roster.require_open()
        return await self._retention.prune(dry_run=dry_run)

    def health(self) -> WriterHealth:
        """A snapshot of the writer's state and counts."""
        return self.parts.journal.health()

    async def flush(self) -> None:
        """Return when everything appended before is committed; `JournalUnavailable` on a loss."""
        self._roster.require_open()
        await self.parts.journal.flush()

    def require_open(self) -> None:
        """`ExecutionError` after close, or in another process than the one that opened it."""
        self._roster.require_open()

    def outcome(self, execution_id: ExecutionId) -> Coroutine[Any, Any, Outcome]:
        """Wait for the outcome of an execution, wherever it runs; see `ExecutionHandle.result`."""
        self._roster.require_open()
        return self._outcomes.of(execution_id)

    async def latest(self, execution_id: ExecutionId) -> ExecutionRow:
        """The committed row of the last execution that continues this one, or its own."""
        self._roster.require_open()
        return await self._successions.latest(execution_id)

    def _say_requested(self, about: bytes) -> None:
        """Wake this engine's own rounds: the request may be for what it runs."""
        self.parts.notices.hear(Notice(NoticeKind.REQUEST, about))

    async def _close(self) -> None:
        try:
            await self._watch.close()
            await self._roster.close(self.parts.config.close_timeout_ms / 1000)
        finally:
            await self._retention.close()
