"""A readable account of a divergence: names and argument positions, never values (INV-5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from durable_core.model.effects import EffectClass
from durable_core.model.entries import STEP_KINDS, EntryKind, JournalRow
from durable_core.replay.detail import StepDetail, argument_digests
from durable_core.replay.lookup import Wanted
from durable_core.wire.keys import ExecutionKeys
from durable_core.wire.waits import CreatedPromise

__all__ = ["ADVICE", "describe", "leftover"]

ADVICE: Final = (
    "deploy the code that wrote this journal and resume, or resume to start a fresh run in which "
    "committed guarded effects are not repeated"
)
_SHOWN: Final = 5


def describe(wanted: Wanted, row: JournalRow, keys: ExecutionKeys) -> str:
    """What the program asked for at a step, and what the journal holds there.

    `keys` are those of the execution.
    """
    if wanted.is_step and row.entry_kind in STEP_KINDS:
        asked, held, differences = _of_steps(wanted, row, keys)
        return (
            f"step {wanted.step_id}: the program asks for {asked}, the journal holds {held}; "
            f"different: {', '.join(differences)}; {ADVICE}"
        )
    return (
        f"step {wanted.step_id}: the program asks for {wanted.name!r}, the journal holds "
        f"{_name_of(row)}; {ADVICE}"
    )


def leftover(rows: Sequence[JournalRow]) -> str:
    """The program ended although the journal holds more steps."""
    ordered = sorted(rows, key=lambda row: row.entry_no)
    named = [f"{row.step_id} {_name_of(row)}" for row in ordered[:_SHOWN]]
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return (
        f"the program ended without asking for journaled steps: {', '.join(named)}{more}; {ADVICE}"
    )


def _of_steps(wanted: Wanted, row: JournalRow, keys: ExecutionKeys) -> tuple[str, str, list[str]]:
    recorded = StepDetail.decode(row.detail)
    differences = []
    if recorded.name != wanted.name:
        differences.append("the name")
    if row.effect_class != wanted.effect:
        differences.append("the effect class")
    positions = recorded.differing_positions(argument_digests(keys, wanted.arguments))
    if positions:
        listed = ", ".join(str(position) for position in positions)
        differences.append(f"argument {listed}" if len(positions) == 1 else f"arguments {listed}")
    if not differences:
        differences.append("the sub-class")
    asked = f"{wanted.name!r} ({_effect(wanted.effect)})"
    return asked, f"{recorded.name!r} ({_effect(row.effect_class)})", differences


def _name_of(row: JournalRow) -> str:
    """What stands at a place, by name where it has one."""
    match row.entry_kind:
        case EntryKind.TIMER_ARMED | EntryKind.TIMER_FIRED:
            return "a timer"
        case EntryKind.PROMISE_CREATED:
            return f"the promise {CreatedPromise.decode(row.detail).name!r}"
        case _:
            return repr(StepDetail.decode(row.detail).name)


def _effect(code: int) -> str:
    return EffectClass(code).name.lower() if code in set(EffectClass) else f"effect {code}"
