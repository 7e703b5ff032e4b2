"""What a journaled close of a step means to the program, live and in a fresh run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

from durable_core.engine.call import StepCall
from durable_core.engine.outcome import DID_NOT_RUN, STEP_CANCELLED, Failure
from durable_core.errors import DecodeError
from durable_core.model.entries import EntryKind, JournalRow, Outcome, StepResult

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["cancelled_again", "read_result", "read_settled", "replay", "take_over"]

_OUTCOMES: Final = frozenset(Outcome)


async def replay(run: Run, call: StepCall, row: JournalRow, *, cancelled: bool) -> object:
    """The recorded value, or the recorded failure as `StepFailed`; the function is not called.

    `cancelled` says that the workflow cancelled the step while its entry was looked up.
    """
    payload = run.cursor.open_payload(row)
    if row.entry_kind == EntryKind.STEP_RESULT:
        return read_result(run, call, payload)
    failure = Failure.decode(payload)
    if failure.error_type == STEP_CANCELLED:
        await cancelled_again(cancelled=cancelled)
    raise failure.of_step(call.descriptor.name)


async def cancelled_again(*, cancelled: bool) -> NoReturn:
    """Wait to be cancelled as the journal says, unless that has happened; never returns.

    The workflow cancelled this step, and will do so again: by the same timeout, sibling or race.
    Anything raised earlier could take another branch.
    """
    if not cancelled:
        await asyncio.get_running_loop().create_future()
    raise asyncio.CancelledError


def read_result(run: Run, call: StepCall, payload: bytes) -> object:
    """The value of a `step_result` payload: structured by the step's annotation."""
    if not payload or payload[0] not in _OUTCOMES:
        message = f"the result of step {call.step_id} has an unknown outcome byte"
        raise DecodeError(message)
    if payload[0] == Outcome.ASSUMED_DONE:
        return None
    return run.parts.codec.decode(payload[1:], call.spec.shape.returns)


def read_settled(payload: bytes) -> bytes | None:
    """The encoded value of an `intent_settled` payload, or None for "it did not run"."""
    if payload[:1] == b"\x01":
        return payload[1:]
    if payload == DID_NOT_RUN:
        return None
    message = "an intent_settled payload does not follow the format"
    raise DecodeError(message)


def take_over(run: Run, call: StepCall, row: JournalRow) -> tuple[StepResult, object]:
    """The result of an earlier generation as an entry of this one, and its value (INV-13)."""
    payload = run.cursor.open_payload(row)
    if row.entry_kind == EntryKind.INTENT_SETTLED:
        payload = bytes((Outcome.SETTLED,)) + (read_settled(payload) or b"")
    return call.result(payload), read_result(run, call, payload)
