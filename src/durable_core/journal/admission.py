"""What can be written at all, in whatever execution: kinds, types and ranges, checked when offered.

Carries the caller's half of EC-04: a field that no row can hold is refused to whoever offers it,
before anything is noted, so that it never reaches the commit loop.
"""

from __future__ import annotations

from typing import Final

from durable_core.errors import EntryRejected, UnsupportedEntryKind
from durable_core.model.effects import EffectClass
from durable_core.model.entries import (
    PERSISTED_KINDS,
    EffectIntent,
    Entry,
    EntryKind,
    ExecutionFinished,
    StepFailure,
    StepResult,
)
from durable_core.model.execution import TERMINAL, Status

__all__ = ["check_entry", "check_text", "is_usual"]

_STEP: Final = ("fingerprint", "idem_key")

_BYTES: Final = {
    EntryKind.EXECUTION_STARTED: ("payload",),
    EntryKind.EFFECT_INTENT: _STEP,
    EntryKind.STEP_RESULT: (*_STEP, "payload"),
    EntryKind.STEP_FAILED: (*_STEP, "payload"),
    EntryKind.EXECUTION_FINISHED: ("payload",),
    EntryKind.INTENT_SETTLED: (*_STEP, "payload"),
    EntryKind.PROMISE_CREATED: ("detail",),
    EntryKind.PROMISE_RESOLVED: ("detail", "payload"),
    EntryKind.TIMER_ARMED: ("detail",),
    EntryKind.TIMER_FIRED: ("detail",),
}
"""The fields of each kind in `PERSISTED_KINDS` that have to be bytes."""

_CLOSING: Final = (StepResult, StepFailure)

_HIGHEST_EFFECT: Final = max(EffectClass)


def is_usual(entry: Entry, max_payload_bytes: int) -> bool:
    """Whether one look is enough to see that a row can hold `entry`, as for all but all of a step.

    Its payload included. Says nothing against any other. Stands on the way of each append.
    """
    if isinstance(entry, _CLOSING):
        payload = entry.payload
        if payload.__class__ is not bytes or len(payload) > max_payload_bytes:
            return False
    elif not isinstance(entry, EffectIntent):
        return False
    return (
        entry.detail.__class__ is bytes
        and entry.fingerprint.__class__ is bytes
        and entry.idem_key.__class__ is bytes
        and entry.step_id.__class__ is str
        and entry.generation.__class__ is int
        and entry.effect_class.__class__ is EffectClass
        and entry.step_id.isascii()
    )


def check_entry(entry: Entry) -> None:
    """Return if a row can hold `entry`, whose payload may still be too large.

    `UnsupportedEntryKind` for a kind that this build cannot write, `EntryRejected` for a field of
    the wrong type or out of range.
    """
    if entry.kind not in PERSISTED_KINDS:
        message = f"this version cannot persist {entry.kind.label} entries; nothing was written"
        raise UnsupportedEntryKind(message)
    for name in _BYTES[entry.kind]:
        if not isinstance(getattr(entry, name), bytes):
            raise _refused(entry, name, "bytes")
    detail: object = getattr(entry, "detail", None)
    if detail is not None and not isinstance(detail, bytes):
        raise _refused(entry, "detail", "bytes or None")
    if not _is_text(entry.step_id):
        raise _refused(entry, "step_id", "text that UTF-8 can hold")
    if not isinstance(entry.generation, int):
        raise _refused(entry, "generation", "an int")
    effect: object = getattr(entry, "effect_class", 0)
    if not isinstance(effect, int) or not 0 <= effect <= _HIGHEST_EFFECT:
        raise _refused(entry, "effect_class", f"an int from 0 to {int(_HIGHEST_EFFECT)}")
    if isinstance(entry, ExecutionFinished) and not _is_terminal(entry.status):
        raise _refused(entry, "status", "a terminal Status")


def check_text(name: str, value: str | None) -> None:
    """`EntryRejected` unless `value`, a name in an execution's row, is text or None."""
    if value is not None and not _is_text(value):
        message = (
            f"the {name} of an execution must be text that UTF-8 can hold, not this "
            f"{type(value).__name__}; nothing was written"
        )
        raise EntryRejected(message)


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_terminal(value: object) -> bool:
    return isinstance(value, Status) and value in TERMINAL


def _refused(entry: Entry, name: str, wanted: str) -> EntryRejected:
    """Names the type of what was given and never the value, which may be a payload (INV-5)."""
    given = type(getattr(entry, name)).__name__
    return EntryRejected(
        f"the {name} of an entry of kind {entry.kind.label} must be {wanted}, not this {given}; "
        "nothing was written",
    )
