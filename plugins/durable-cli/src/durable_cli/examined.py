"""How an examined execution looks: its fields, its tables, and the commands that help it on.

Carries INV-5: values and error messages are shown only where they were revealed.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pprint import pformat
from typing import Final

import typer

from durable_cli.output import print_fields, print_table, printable, shown_time
from durable_cli.showing import checked_word, execution_data, kind_word, note_check
from durable_core.engine.examination import Ending, Examined, FailedStep, OwnerState
from durable_core.engine.stored import OpenIntent
from durable_core.ids import shown_id
from durable_core.model.effects import EffectClass, EffectIntentSubClass, policy_label
from durable_core.model.execution import Status
from durable_core.replay.detail import StepDetail

__all__ = ["ending_data", "ending_words", "examined_data", "print_examined"]

_OWNERS: Final = {
    OwnerState.LIVES: "lives",
    OwnerState.GONE: "gone",
    OwnerState.GIVEN_UP: "nobody: given up",
    OwnerState.ANYONE: "nobody: started for anyone",
}


def print_examined(found: Examined, *, reveal: bool) -> None:
    """Print all that is known of an execution, and on stderr what could not be checked."""
    print_fields(_fields(found, reveal=reveal))
    _print_part(
        ("KIND", "ENTRIES", "BYTES"),
        [(kind_word(one.kind), str(one.entries), str(one.payload_bytes)) for one in found.kinds],
    )
    _print_part(
        ("STEP", "NAME", "CLASS", "SUB-CLASS", "POLICY", "INTENT"),
        [
            tuple(map(_cell, (intent.row.step_id, intent.name, *_declared(intent), _since(intent))))
            for intent in found.open_intents
        ],
    )
    commands = _commands(found)
    if commands:
        typer.echo()
        typer.echo("\n".join(commands))
    _print_part(
        ("OPEN PROMISE", "NAME", "MADE"),
        [
            (shown_id(one.promise_id), one.name, _cell(shown_time(one.created_at)))
            for one in found.promises
        ],
    )
    _print_part(
        ("ARMED TIMER", "DUE"),
        [(one.timer_id, _cell(shown_time(one.due_at))) for one in found.timers],
    )
    _print_part(
        ("REQUEST", "SLOT", "FILED"),
        [(one.kind, one.slot, _cell(shown_time(one.created_at))) for one in found.requests],
    )
    headings = ("FAILED STEP", "GEN", "NAME", "ERROR", "ATTEMPTS")
    _print_part(
        (*headings, "MESSAGE") if reveal else headings,
        [tuple(map(_cell, _failed(one, reveal=reveal))) for one in found.failed_steps],
    )
    note_check(found.seen.check)


def examined_data(found: Examined, *, reveal: bool) -> dict[str, object]:
    """All that is known of an execution, for JSON."""
    row = found.seen.row
    owner = {"id": row.owner_id, "epoch": row.owner_epoch, "state": found.owner.value}
    return execution_data(found.seen) | {
        "owner": owner,
        "payload_bytes": found.payload_bytes,
        "longest_payload": found.longest_payload,
        "kinds": [
            {
                "kind": kind_word(one.kind),
                "entries": one.entries,
                "payload_bytes": one.payload_bytes,
            }
            for one in found.kinds
        ],
        "waits_for": _waits_for(found),
        "open_intents": [_intent_data(intent) for intent in found.open_intents],
        "commands": _commands(found),
        "promises": [
            {
                "promise_id": shown_id(one.promise_id),
                "name": one.name,
                "created_at": shown_time(one.created_at),
            }
            for one in found.promises
        ],
        "timers": [
            {"timer_id": one.timer_id, "due_at": shown_time(one.due_at)} for one in found.timers
        ],
        "requests": [
            {"kind": one.kind, "slot": one.slot, "created_at": shown_time(one.created_at)}
            for one in found.requests
        ],
        "failed_steps": [_failed_data(one, reveal=reveal) for one in found.failed_steps],
        "outcome": ending_data(found.ending, reveal=reveal),
        "continues": None if found.predecessor is None else str(found.predecessor),
    }


def ending_data(ending: Ending | None, *, reveal: bool) -> dict[str, object] | None:
    """How the current generation ended, for JSON."""
    if ending is None:
        return None
    data: dict[str, object] = {
        "entry_no": ending.row.entry_no,
        "error_type": ending.error_type,
        "payload_bytes": len(ending.row.payload or b""),
        "continued_as": None if ending.successor is None else str(ending.successor),
    }
    if reveal:
        data["meaning"] = None if ending.payload is None else ending.payload.meaning
        data["payload"] = None if ending.payload is None else ending.payload.value
    return data


def ending_words(found: Examined, *, reveal: bool) -> str:
    """How the current generation ended, in one line."""
    ending = found.ending
    if ending is None:
        return "-"
    if ending.successor is not None:
        return f"continued as {ending.successor}"
    if reveal and ending.payload is not None:
        return f"{ending.payload.meaning}: {pformat(printable(ending.payload.value), width=1000)}"
    size = f"{len(ending.row.payload or b'')} bytes"
    if found.seen.row.status == Status.COMPLETED.label:
        return f"a value ({size})"
    return f"an error ({size})" if ending.error_type is None else f"{ending.error_type} ({size})"


def _fields(found: Examined, *, reveal: bool) -> list[tuple[str, str]]:
    seen, row = found.seen, found.seen.row
    key_id = "without a key" if row.key_id is None else f"key id {row.key_id}"
    sealed = f"{'' if row.sealed else 'not '}sealed, {'' if row.stamped else 'not '}stamped"
    sizes = f"payloads of {found.payload_bytes} bytes, the longest of {found.longest_payload}"
    continues = [] if found.predecessor is None else [("continues", str(found.predecessor))]
    owner = f"{row.owner_id} " if found.owner in {OwnerState.LIVES, OwnerState.GONE} else ""
    return [
        ("execution", seen.name),
        ("workflow", row.workflow),
        ("key", row.execution_key or "-"),
        ("kind", row.kind),
        *continues,
        ("status", row.status),
        ("generation", str(row.generation)),
        ("owner", f"{owner}({_OWNERS[found.owner]}), epoch {row.owner_epoch}"),
        ("created", _cell(shown_time(row.created_at))),
        ("updated", _cell(shown_time(row.updated_at))),
        ("ended", _cell(shown_time(row.finalized_at))),
        ("written", f"{key_id}, {sealed}"),
        ("checked", checked_word(seen.check)),
        ("entries", f"{row.entry_count}, {sizes}"),
        ("outcome", ending_words(found, reveal=reveal)),
        ("waits for", _cell(_waits_for(found))),
    ]


def _waits_for(found: Examined) -> str | None:
    """What has to happen for the execution to go on; None where it has ended for good, or runs."""
    row = found.seen.row
    engine = f"an engine that has workflow {row.workflow!r}"
    if row.key_id is not None:
        engine += f" and key id {row.key_id}"
    match row.status, found.owner:
        case Status.BLOCKED.label, _ if found.open_intents:
            return f"an operator's word on {len(found.open_intents)} guarded step(s)"
        case Status.BLOCKED.label, _:
            return "the code that wrote its journal, then a resume"
        case Status.FAILED.label, _:
            return "a resume, or nothing"
        case Status.RUNNING.label, OwnerState.GONE | OwnerState.GIVEN_UP:
            return engine
        case Status.RUNNING.label, OwnerState.ANYONE:
            return f"{engine} and claims (claim=True)"
        case _:
            return None


def _commands(found: Examined) -> list[str]:
    """The commands that an operator may give, as a shell takes them."""
    name, status = found.seen.name, found.seen.row.status
    if status == Status.BLOCKED.label and found.open_intents:
        return [
            f"durable settle {name} {shlex.quote(intent.row.step_id)} {word}"
            for intent in found.open_intents
            for word in ("--ran --value JSON", "--did-not-run", "--abandon")
        ]
    if status in {Status.BLOCKED.label, Status.FAILED.label}:
        return [f"durable resume {name}"]
    if status != Status.RUNNING.label:
        return []
    return [f"durable resolve {shown_id(one.promise_id)} VALUE" for one in found.promises]


def _declared(intent: OpenIntent) -> tuple[str | None, str | None, str | None]:
    """Effect class, sub-class and policy of an intent, as words."""
    codes = {int(effect): effect.name.lower() for effect in EffectClass}
    effect = codes.get(intent.row.effect_class, str(intent.row.effect_class))
    if intent.row.detail is None:
        return effect, None, None
    detail = StepDetail.decode(intent.row.detail)
    sub_class = EffectIntentSubClass(detail.sub_class).name.lower() if detail.sub_class else None
    return effect, sub_class, policy_label(detail.policy) if detail.policy else None


def _since(intent: OpenIntent) -> str | None:
    return shown_time(intent.row.created_at)


def _intent_data(intent: OpenIntent) -> dict[str, object]:
    effect, sub_class, policy = _declared(intent)
    return {
        "entry_no": intent.row.entry_no,
        "step_id": intent.row.step_id,
        "name": intent.name,
        "effect_class": effect,
        "sub_class": sub_class,
        "policy": policy,
        "created_at": _since(intent),
    }


def _failed(one: FailedStep, *, reveal: bool) -> Sequence[str | None]:
    attempts = None if one.attempts is None else str(one.attempts)
    cells = (one.row.step_id, str(one.row.generation), one.name, one.error_type, attempts)
    return (*cells, one.message) if reveal else cells


def _failed_data(one: FailedStep, *, reveal: bool) -> dict[str, object]:
    data: dict[str, object] = {
        "entry_no": one.row.entry_no,
        "generation": one.row.generation,
        "step_id": one.row.step_id,
        "name": one.name,
        "error_type": one.error_type,
        "attempts": one.attempts,
    }
    return data | {"message": one.message} if reveal else data


def _print_part(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if rows:
        typer.echo()
        print_table(headings, rows)


def _cell(value: str | None) -> str:
    return value or "-"
