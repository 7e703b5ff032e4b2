"""How executions, entries and reports look, as tables and as JSON. Carries INV-5."""

from __future__ import annotations

from pprint import pformat
from typing import Final

import typer

from durable_cli.output import print_json, print_table, printable, shown_time
from durable_cli.reporting import note
from durable_core.engine.inspection import Check, SeenEntry, SeenExecution
from durable_core.engine.verification import VerifyReport
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind

__all__ = [
    "checked_word",
    "entry_data",
    "execution_data",
    "kind_word",
    "note_check",
    "print_entries",
    "print_executions",
    "print_payloads",
    "print_report",
]

_NOTES: Final = {
    Check.NO_KEY: "unverified: the key that checks these executions is not configured, or has "
    "other bytes than theirs; set DURABLE_KEY (`durable verify` says which it is)",
    Check.UNSTAMPED: "unstamped: written without a key, or stripped of its stamps; nothing can "
    "tell whether it was changed",
}
_CHECKED: Final = {
    Check.VERIFIED: "verified",
    Check.NO_KEY: "unverified",
    Check.UNSTAMPED: "unverified",
    Check.DAMAGED: "DAMAGED",
}


def print_executions(seen: list[SeenExecution]) -> None:
    """Print a table of executions, and on stderr what could not be checked."""
    print_table(
        ("ID", "WORKFLOW", "KEY", "STATUS", "GEN", "ENTRIES", "CREATED", "CHECKED"),
        [
            (
                one.name,
                one.row.workflow,
                one.row.execution_key or "-",
                one.row.status,
                str(one.row.generation),
                str(one.row.entry_count),
                shown_time(one.row.created_at, "seconds") or "-",
                _CHECKED[one.check],
            )
            for one in seen
        ],
    )
    for check in {one.check: None for one in seen}:
        note_check(check)


def checked_word(check: Check) -> str:
    """The word for what checking an execution gave."""
    return _CHECKED[check]


def note_check(check: Check) -> None:
    """Say on stderr what could not be checked, and why."""
    if check in _NOTES:
        note(_NOTES[check])


def kind_word(code: int) -> str:
    """The word for a kind of entries, or its number."""
    kinds = {int(kind): kind.label for kind in EntryKind}
    return kinds.get(code, str(code))


def print_entries(entries: list[SeenEntry]) -> None:
    """Print a table of entries."""
    print_table(
        ("NO", "GEN", "STEP", "KIND", "NAME", "EFFECT", "BYTES", "CREATED"),
        [
            (
                str(entry.row.entry_no),
                str(entry.row.generation),
                entry.row.step_id or "-",
                _kind(entry),
                _name(entry) or "-",
                _effect(entry) or "-",
                "-" if entry.row.payload is None else str(len(entry.row.payload)),
                shown_time(entry.row.created_at) or "-",
            )
            for entry in entries
        ],
    )


def print_payloads(entries: list[SeenEntry]) -> None:
    """Print every payload that was revealed, in the notation of Python."""
    for entry in entries:
        if entry.payload is not None:
            value = pformat(printable(entry.payload.value), width=100)
            first = f"{entry.row.entry_no} {_kind(entry)}, {entry.payload.meaning}: "
            typer.echo(first + value.replace("\n", "\n" + " " * len(first)))


def print_report(report: VerifyReport, *, as_json: bool) -> None:
    """Print what was verified."""
    if as_json:
        print_json(
            {
                "verified": report.unstamped == 0,
                "executions": report.executions,
                "entries": report.entries,
                "unstamped": report.unstamped,
                "digest": report.digest,
            },
        )
        return
    typer.echo(f"executions  {report.executions}")
    typer.echo(f"entries     {report.entries}")
    typer.echo(f"unstamped   {report.unstamped}")
    typer.echo(f"digest      {report.digest}")
    if report.unstamped:
        note(_NOTES[Check.UNSTAMPED])


def execution_data(seen: SeenExecution) -> dict[str, object]:
    """An execution for JSON."""
    row = seen.row
    return {
        "execution_id": seen.name,
        "workflow": row.workflow,
        "key": row.execution_key,
        "kind": row.kind,
        "status": row.status,
        "generation": row.generation,
        "key_id": row.key_id,
        "sealed": row.sealed,
        "stamped": row.stamped,
        "entry_count": row.entry_count,
        "created_at": shown_time(row.created_at),
        "updated_at": shown_time(row.updated_at),
        "finalized_at": shown_time(row.finalized_at),
        "verified": seen.verified,
        "check": seen.check.value,
    }


def entry_data(entry: SeenEntry, *, reveal: bool) -> dict[str, object]:
    """An entry for JSON, with its payload where that was revealed."""
    row = entry.row
    data: dict[str, object] = {
        "entry_no": row.entry_no,
        "generation": row.generation,
        "step_id": row.step_id or None,
        "kind": _kind(entry),
        "name": entry.step_name,
        "effect_class": _effect(entry),
        "payload_bytes": None if row.payload is None else len(row.payload),
        "created_at": shown_time(row.created_at),
    }
    if entry.linked is not None:
        ends = row.entry_kind == EntryKind.EXECUTION_FINISHED
        data["continued_as" if ends else "continues"] = str(entry.linked)
    if reveal:
        data["meaning"] = None if entry.payload is None else entry.payload.meaning
        data["payload"] = None if entry.payload is None else entry.payload.value
    return data


def _kind(entry: SeenEntry) -> str:
    return kind_word(entry.row.entry_kind)


def _name(entry: SeenEntry) -> str | None:
    """The step's name, or how the execution is tied to another one."""
    if entry.linked is None:
        return entry.step_name
    ends = entry.row.entry_kind == EntryKind.EXECUTION_FINISHED
    return f"{'continued as' if ends else 'continues'} {entry.linked}"


def _effect(entry: SeenEntry) -> str | None:
    classes = {int(effect): effect.name.lower() for effect in EffectClass}
    code = entry.row.effect_class
    return classes.get(code, str(code)) if code else None
