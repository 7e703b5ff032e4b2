"""`durable list`, `show` and `verify`: they read, and change nothing. Carries INV-5.

Payloads stay sealed unless `show` is told to reveal them, and then a warning comes first.
"""

from __future__ import annotations

import hmac
from pprint import pformat
from typing import Annotated, Final

import typer

from durable_cli.output import plain, print_json, print_table, shown_time
from durable_cli.reporting import execute, note, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.engine.inspection import Check, SeenEntry, SeenExecution
from durable_core.engine.verification import VerifyReport
from durable_core.errors import ExecutionNotFound, IntegrityError
from durable_core.ids import ExecutionId, parse_execution_id
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status, status_of

__all__ = ["execution_id_of", "list_executions", "show", "verify"]

_NOTES: Final = {
    Check.NO_KEY: "unverified: the key is not configured, so that nothing of this was checked; "
    "set DURABLE_KEY",
    Check.UNSTAMPED: "unstamped: written without a key, or stripped of its stamps; nothing can "
    "tell whether it was changed",
}
_CHECKED: Final = {
    Check.VERIFIED: "verified",
    Check.NO_KEY: "unverified",
    Check.UNSTAMPED: "unverified",
    Check.DAMAGED: "DAMAGED",
}
_LABELS: Final = [status.label for status in Status]


def execution_id_of(text: str) -> ExecutionId:
    """The id that `text` spells; `ExecutionNotFound` where it spells none."""
    execution_id = parse_execution_id(text)
    if execution_id is None:
        message = f"no execution {plain(text)!r}: an id is a UUID, as `durable list` shows it"
        raise ExecutionNotFound(message)
    return execution_id


def list_executions(
    ctx: typer.Context,
    status: Annotated[
        str | None,
        typer.Option(help=f"Only executions that are {', '.join(_LABELS)}.", show_default=False),
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option(help="Only executions of this workflow.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many at most.")] = 100,
    *,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """List executions, the oldest first. With a key each is checked against its anchor."""
    if status is not None and status not in _LABELS:
        message = f"{plain(status)!r} is not one of {', '.join(_LABELS)}"
        raise typer.BadParameter(message, param_hint="--status")
    wanted = None if status is None else status_of(status)
    with reporting():
        found = execute(_listed(source_of(ctx, url, key_file), wanted, workflow, limit + 1))
        seen = found[:limit]
        if as_json:
            print_json([_execution_data(one) for one in seen])
        else:
            _print_executions(seen)
        if len(found) > limit:
            note(f"there are more than these {limit}; raise --limit to see them")
        _require_undamaged(seen)


def show(
    ctx: typer.Context,
    execution: Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")],
    *,
    reveal: Annotated[
        bool,
        typer.Option("--reveal", help="Decrypt the payloads and print them in clear."),
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Show one execution and its journal. With a key its whole chain is verified first."""
    with reporting():
        wanted = execution_id_of(execution)
        seen, entries = execute(_shown(source_of(ctx, url, key_file), wanted, reveal=reveal))
        if reveal:
            note("warning: plaintext follows: arguments, results and error messages, in clear")
        if as_json:
            entry_data = [_entry_data(entry, reveal=reveal) for entry in entries]
            print_json(_execution_data(seen) | {"entries": entry_data})
            return
        _print_executions([seen])
        typer.echo()
        _print_entries(entries)
        if reveal:
            typer.echo()
            _print_payloads(entries)


def verify(
    ctx: typer.Context,
    execution: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="One execution; all where left out."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(help="The digest that was kept elsewhere.", show_default=False),
    ] = None,
    *,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Check every entry and every anchor, and print one digest of all anchors.

    Keep the digest outside: when the whole database is put back to an earlier state, only
    --expect can tell.
    """
    with reporting():
        wanted = None if execution is None else execution_id_of(execution)
        report = execute(_verified(source_of(ctx, url, key_file), wanted))
        _print_report(report, as_json=as_json)
        if expect is not None and not _same(report.digest, expect):
            message = (
                "the digest of the anchors is not the expected one: the journal has gone on since "
                "that was taken, or was put back to an earlier state"
            )
            raise IntegrityError(message)


async def _listed(
    source: Source,
    status: Status | None,
    workflow: str | None,
    limit: int,
) -> list[SeenExecution]:
    async with source.inspect(key_optional=True) as journal:
        return await journal.executions(status=status, workflow=workflow, limit=limit)


async def _shown(
    source: Source,
    execution_id: ExecutionId,
    *,
    reveal: bool,
) -> tuple[SeenExecution, list[SeenEntry]]:
    async with source.inspect(key_optional=not reveal) as journal:
        seen = await journal.execution(execution_id)
        return seen, await journal.entries(seen, reveal=reveal)


async def _verified(source: Source, execution_id: ExecutionId | None) -> VerifyReport:
    async with source.inspect() as journal:
        return await journal.verify(execution_id)


def _same(digest: str, expected: str) -> bool:
    return hmac.compare_digest(digest.encode(), expected.strip().lower().encode())


def _print_executions(seen: list[SeenExecution]) -> None:
    print_table(
        ("ID", "WORKFLOW", "KEY", "STATUS", "GEN", "ENTRIES", "CREATED", "CHECKED"),
        [
            (
                str(one.execution_id),
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
        if check in _NOTES:
            note(_NOTES[check])


def _require_undamaged(seen: list[SeenExecution]) -> None:
    damaged = sum(one.check is Check.DAMAGED for one in seen)
    if damaged:
        message = (
            f"executions marked DAMAGED: {damaged}; their records were changed outside "
            "durable-core, restore the journal from a backup (`durable verify ID` says more)"
        )
        raise IntegrityError(message)


def _print_entries(entries: list[SeenEntry]) -> None:
    print_table(
        ("NO", "GEN", "STEP", "KIND", "NAME", "EFFECT", "BYTES", "CREATED"),
        [
            (
                str(entry.row.entry_no),
                str(entry.row.generation),
                entry.row.step_id or "-",
                _kind(entry),
                entry.step_name or "-",
                _effect(entry) or "-",
                "-" if entry.row.payload is None else str(len(entry.row.payload)),
                shown_time(entry.row.created_at) or "-",
            )
            for entry in entries
        ],
    )


def _print_payloads(entries: list[SeenEntry]) -> None:
    for entry in entries:
        if entry.payload is not None:
            value = pformat(entry.payload.value, width=100)
            first = f"{entry.row.entry_no} {_kind(entry)}, {entry.payload.meaning}: "
            typer.echo(first + value.replace("\n", "\n" + " " * len(first)))


def _print_report(report: VerifyReport, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "verified": True,
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


def _execution_data(seen: SeenExecution) -> dict[str, object]:
    row = seen.row
    return {
        "execution_id": str(seen.execution_id),
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


def _entry_data(entry: SeenEntry, *, reveal: bool) -> dict[str, object]:
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
    if reveal:
        data["meaning"] = None if entry.payload is None else entry.payload.meaning
        data["payload"] = None if entry.payload is None else entry.payload.value
    return data


def _kind(entry: SeenEntry) -> str:
    kinds = {int(kind): kind.label for kind in EntryKind}
    return kinds.get(entry.row.entry_kind, str(entry.row.entry_kind))


def _effect(entry: SeenEntry) -> str | None:
    classes = {int(effect): effect.name.lower() for effect in EffectClass}
    code = entry.row.effect_class
    return classes.get(code, str(code)) if code else None
