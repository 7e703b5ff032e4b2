"""The four ambiguity policies, each resolution audited once (EC-20).

A policy applies only to an intent that nothing follows: the function may or may not have had its
effect, and no journal can tell.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from durable_core.contracts.audit import AuditRecord
from durable_core.engine.call import StepCall
from durable_core.engine.descriptor import DidNotHappen, Reconcile
from durable_core.errors import AmbiguousEffect
from durable_core.model.effects import EffectIntentSubClass, OnAmbiguous, policy_label
from durable_core.model.entries import Outcome
from durable_core.wire.payload import dump

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["Resolved", "Verdict", "resolve"]


@frozen
class Resolved:
    """The step is closed without its function: an outcome byte and an encoded value."""

    outcome: Outcome
    encoded: bytes = field(repr=False)


class Verdict(enum.Enum):
    """What to do with a function that is not done without."""

    CALL = enum.auto()
    """It is to be called after all."""

    EXHAUSTED = enum.auto()
    """It might be called again, but its attempts are used up."""


_ASSUMED: Final = Resolved(Outcome.ASSUMED_DONE, dump(None))


async def resolve(
    run: Run,
    call: StepCall,
    *,
    held: bool = False,
    exhausted: bool = False,
) -> Resolved | Verdict:
    """Apply the step's policy; `held` says that the journaled intent is an operator's to settle.

    `exhausted` says that no attempt is left, should the policy allow another call. Runs in the
    task of the effect, which the workflow cannot cancel.

    `AmbiguousEffect` under FAIL, and when a reconcile function cannot tell; the caller's run is
    blocked then. `JournalUnavailable` if an audit sink refuses the record.
    """
    run.parts.metrics.record("durable.engine.ambiguities", 1)
    policy = OnAmbiguous.FAIL if held else call.descriptor.policy
    match policy:
        case OnAmbiguous.FAIL:
            await _audit(run, call, int(policy), "blocked")
            raise AmbiguousEffect(_account(run, call))
        case OnAmbiguous.SKIP:
            await _audit(run, call, int(policy), "assumed done")
            return _ASSUMED
        case OnAmbiguous.RERUN:
            return await _call_again(run, call, int(policy), "called again", exhausted=exhausted)
        case Reconcile():
            return await _reconcile(run, call, policy, exhausted=exhausted)


async def _call_again(
    run: Run,
    call: StepCall,
    policy: int,
    resolution: str,
    *,
    exhausted: bool,
) -> Verdict:
    await _audit(run, call, policy, "attempts used up" if exhausted else resolution)
    return Verdict.EXHAUSTED if exhausted else Verdict.CALL


async def _reconcile(
    run: Run,
    call: StepCall,
    policy: Reconcile,
    *,
    exhausted: bool,
) -> Resolved | Verdict:
    code = call.descriptor.policy_code
    encoded: bytes | None = None
    try:
        answer = await _ask(run, call, policy)
        if not isinstance(answer, DidNotHappen):
            encoded, _ = run.parts.codec.settle(answer, call.spec.shape.returns)
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        await _audit(run, call, code, "blocked")
        message = (
            f"the reconcile function failed with {type(error).__name__}; {_account(run, call)}"
        )
        raise AmbiguousEffect(message) from error
    if encoded is None:
        return await _call_again(run, call, code, "did not happen", exhausted=exhausted)
    await _audit(run, call, code, "recovered")
    return Resolved(Outcome.RECONCILED, encoded)


async def _ask(run: Run, call: StepCall, policy: Reconcile) -> object:
    args = (call.idem_key, *call.args)
    if inspect.iscoroutinefunction(policy.ask):
        return await policy.ask(*args, **call.kwargs)
    thread = await run.parts.threads.begin(policy.ask, args, call.kwargs, lambda: True)
    assert thread is not None  # noqa: S101 - it may always begin
    # A cancelled run does not end the thread, and close() has to know of it.
    answer = await asyncio.shield(thread)
    return await answer if inspect.isawaitable(answer) else answer


async def _audit(run: Run, call: StepCall, policy: int, resolution: str) -> None:
    await run.parts.audit.record(
        AuditRecord(
            str(run.execution_id),
            call.descriptor.name,
            call.step_id,
            EffectIntentSubClass(call.descriptor.sub_class_code).name.lower(),
            call.idem_key.hex(),
            policy_label(policy),
            resolution,
            run.parts.clock.now_ms(),
        ),
    )


def _account(run: Run, call: StepCall) -> str:
    return (
        f"step {call.step_id} {call.descriptor.name!r} of execution {run.execution_id} may or may "
        f"not have had its effect (idempotency key {call.idem_key.hex()}) and was not called "
        "again. Settle it with engine.settle(...) or `durable settle`: it ran, with this value; "
        "it did not run; or cancel the execution"
    )
