"""Child workflows: started by a workflow, as durable as itself, and cancelled with it.

Starting a child is a step. The child's key is derived from that step, so that a parent which is
killed between the two finds the child that it has started. Waiting for its end is a step too.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

from attrs import evolve, field, frozen

from durable_core.engine.call import current_step
from durable_core.engine.descriptor import StepDescriptor
from durable_core.engine.invoke import TooLate
from durable_core.engine.kin import Kin
from durable_core.engine.outcome import Outcome
from durable_core.engine.parts import EngineParts
from durable_core.engine.spec import StepForm, StepSpec
from durable_core.engine.stored import read_all, reader_of
from durable_core.errors import (
    ConfigError,
    DecodeError,
    DurableError,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionNotFound,
    ExecutionTerminal,
    KeyConflict,
    PayloadTooLarge,
)
from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass, EffectIntentSubClass, OnAmbiguous
from durable_core.model.entries import STEP_KINDS, EntryKind, JournalRow
from durable_core.model.execution import ExecutionRow, Status, status_of
from durable_core.replay.detail import StepDetail
from durable_core.wire.call import CallShape

if TYPE_CHECKING:
    from durable_core.engine.definition import Workflow
    from durable_core.engine.run import Run

__all__ = ["ChildHandle", "cancel_children", "parent_of", "start_child"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_LOG: Final = logging.getLogger("durable_core.engine")
_START: Final = "durable.start_child:"
_RESULT: Final = "durable.child_result:"
_OF_THE_CHILD: Final = (ExecutionFailed, ExecutionCancelled)
"""How a child ends for good; a parent is told of nothing else."""

_OF_THE_CALL: Final = (KeyConflict, ConfigError, DecodeError, PayloadTooLarge)
"""Why a child cannot be started, whoever asks again."""

_CANCEL: Final = "durable.cancel_child:"
_DERIVED: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9a-f]{64}")
_BLOCKED_S: Final = 1.0
"""How often a child that is blocked is looked at; whoever settles it does not know its parent."""


@frozen
class ChildHandle(Generic[T_co]):
    """A child that was started, as `ctx.start_child` returns it.

    For the branch that started it, while its workflow runs; both methods are steps of that branch.
    """

    id: ExecutionId
    _workflow: Workflow[..., Any] = field(repr=False)
    _run: Run = field(repr=False)

    def result(self) -> Coroutine[Any, Any, T_co]:
        """Take the next step id; the coroutine waits for the child's end, and is its result.

        `StepFailed` with the error's type and message where the child failed, and with
        `ExecutionCancelled` or `ReplayDivergence` where it was cancelled or aborted. A child that
        is blocked is waited for until somebody settles it.
        """
        run, child = self._run, self.id

        async def result(_child: str) -> object:
            async with run.waiting():
                return await _end_of(run.parts.kin, child)

        shape = evolve(CallShape.of(result), returns=self._workflow.shape.returns)
        spec = _idempotent(result, _RESULT + self._workflow.name, shape)
        return self._run.call(spec, (str(self.id),), {})

    def cancel(self) -> Coroutine[Any, Any, None]:
        """Take the next step id; the coroutine asks for the child to be cancelled."""
        kin, child = self._run.parts.kin, self.id

        async def cancel(_child: str) -> None:
            try:
                await kin.cancel(child)
            except (ExecutionTerminal, ExecutionNotFound):
                return  # it has ended, which is what was wanted

        spec = _idempotent(cancel, _CANCEL + self._workflow.name, CallShape.of(cancel))
        return self._run.call(spec, (str(self.id),), {})


def start_child(
    run: Run,
    workflow: Workflow[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    key: str | None,
    where: Literal["here", "anywhere"],
) -> Coroutine[Any, Any, ChildHandle[T]]:
    """See `DurableContext.start_child`."""
    kin = run.parts.kin
    if where == "here":
        kin.require(workflow.name)

    async def start(*bound: Any, **named: Any) -> str:
        run.parts.failpoints.reach("engine.child.starting")
        try:
            child = await kin.start(
                workflow,
                bound,
                named,
                key=key or _derived_key(run.execution_id, current_step().idempotency_key),
                on_conflict="error",
                anywhere=where == "anywhere",
            )
        except _OF_THE_CALL:
            raise
        except DurableError as error:
            # The engine's own failure, a close say (INV-21): who goes on starts it, or finds it.
            run.end(error)
            raise TooLate from error
        run.parts.failpoints.reach("engine.child.started")
        return str(child)

    # Guarded, so that nothing leaves the execution ahead of what it has done before (INV-20), and
    # so that whoever cancels it finds every child; called again it finds the one that is there.
    descriptor = StepDescriptor(
        name=_START + workflow.name,
        effect=EffectClass.EXACTLY_ONCE_GUARDED,
        sub_class=EffectIntentSubClass.CUSTOM,
        on_ambiguous=OnAmbiguous.RERUN,
    )
    shape = evolve(workflow.shape, returns=str)
    spec = StepSpec.of(start, StepForm.of(start, descriptor, shape))
    return _started(run, workflow, run.call(spec, args, kwargs))


async def _started(
    run: Run, workflow: Workflow[..., T], step: Coroutine[Any, Any, str]
) -> ChildHandle[T]:
    return ChildHandle(ExecutionId(await step), workflow, run)


async def cancel_children(parts: EngineParts, row: ExecutionRow) -> None:
    """Cancel every child that the execution has started and that has not ended.

    Read from its journal, since a run that is cancelled may not have come to all of them again. A
    child whose start was announced and not confirmed is found by its derived key, if it has one.
    """
    children: dict[bytes, ExecutionId | str] = {}
    reader = reader_of(parts, row)
    parent = ExecutionId(bytes=row.execution_id)

    def take(entry: JournalRow) -> None:
        name = StepDetail.name_in(entry.detail) if entry.entry_kind in STEP_KINDS else None
        if entry.idem_key is None or name is None or not name.startswith(_START):
            return
        if entry.entry_kind == EntryKind.EFFECT_INTENT:
            children.setdefault(entry.idem_key, name.removeprefix(_START))
        elif entry.entry_kind == EntryKind.STEP_RESULT:
            payload = reader.envelope.open(entry)  # an outcome byte, then the value
            children[entry.idem_key] = ExecutionId(parts.codec.decode(payload[1:], str))

    await read_all(parts, reader, take)
    for idem_key, child in children.items():
        if isinstance(child, str):
            found = await parts.backend.find(child, _derived_key(parent, idem_key))
            if found is None:
                continue
            child = ExecutionId(bytes=found)  # noqa: PLW2901 - the same one, by its id
        with suppress(ExecutionTerminal, ExecutionNotFound):
            await parts.kin.cancel(child)


async def _end_of(kin: Kin, child: ExecutionId) -> object:
    """The child's result once it has ended for good; raises what it ended with."""
    while True:
        try:
            outcome = await kin.outcome(child)
        except ExecutionNotFound:
            raise
        except DurableError as error:
            # No word on the child, which the parent's code could take for its failure (INV-21).
            outcome = Outcome(error=error)
        if outcome.error is None or isinstance(outcome.error, _OF_THE_CHILD):
            return outcome.take()
        row = await kin.latest(child)
        if status_of(row.status) is Status.ABORTED:
            return outcome.take()
        _LOG.info("child %s is waited for: %s", child, type(outcome.error).__name__)
        await asyncio.sleep(_BLOCKED_S)


def parent_of(execution_key: str | None) -> ExecutionId | None:
    """Whose child has that key, if it is a derived one.

    A child with a key of its own cannot be told from other executions.
    """
    found = _DERIVED.fullmatch(execution_key or "")
    return None if found is None else ExecutionId(found[1])


def _derived_key(parent: ExecutionId, idem_key: bytes) -> str:
    return f"{parent}/{idem_key.hex()}"


def _idempotent(
    fn: Callable[..., Coroutine[Any, Any, Any]], name: str, shape: CallShape
) -> StepSpec:
    descriptor = StepDescriptor(name=name, effect=EffectClass.IDEMPOTENT)
    return StepSpec.of(fn, StepForm.of(fn, descriptor, shape))
