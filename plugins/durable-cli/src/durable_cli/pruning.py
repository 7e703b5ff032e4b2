"""`durable prune`: delete what has ended and is too old or too much, or say what that is."""

from __future__ import annotations

from typing import Annotated

import typer

from durable_cli.output import print_json, print_table, shown_time
from durable_cli.reporting import execute, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.engine.choosing import Choice
from durable_core.engine.retention import RetentionReport
from durable_core.ids import ExecutionId

__all__ = ["prune"]


def prune(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Delete nothing; say what would go, and why.")
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Delete executions that have ended, by the ages and caps of [durable.retention].

    Those of this command's own configuration, which need not be the application's. What is deleted
    is forgotten: its key is free, and its guarded effects are not protected any more.
    """
    with reporting():
        report = execute(_pruned(source_of(ctx, url, key_file), dry_run=dry_run))
        if as_json:
            print_json(_data(report))
            return
        if report.executions:
            _print_choices(report.executions)
            typer.echo()
        total = f"{len(report.executions)} executions, {report.entries} entries, {report.size} B"
        typer.echo(f"{total} {'would be' if dry_run else 'were'} deleted")


async def _pruned(source: Source, *, dry_run: bool) -> RetentionReport:
    async with source.inspect() as journal:
        keyless = journal.wire.keyring.current is None and not await journal.backend.key_checks()
    async with source.engine(keyless=keyless) as engine:
        return await engine.prune(dry_run=dry_run)


def _print_choices(choices: tuple[Choice, ...]) -> None:
    print_table(
        ("ID", "WORKFLOW", "KEY", "STATUS", "ENDED", "ENTRIES", "BYTES", "WHY"),
        [
            (
                _id(choice),
                choice.row.workflow,
                choice.row.execution_key or "-",
                choice.row.status,
                shown_time(choice.row.finalized_at, "seconds") or "-",
                str(choice.row.entries),
                str(choice.size),
                choice.reason.value,
            )
            for choice in choices
        ],
    )


def _data(report: RetentionReport) -> dict[str, object]:
    executions = [
        {
            "execution_id": _id(choice),
            "workflow": choice.row.workflow,
            "execution_key": choice.row.execution_key,
            "status": choice.row.status,
            "finalized_at": shown_time(choice.row.finalized_at),
            "entries": choice.row.entries,
            "bytes": choice.size,
            "why": choice.reason.value,
        }
        for choice in report.executions
    ]
    totals = {"entries": report.entries, "bytes": report.size}
    return {"dry_run": report.dry_run, "executions": executions, **totals}


def _id(choice: Choice) -> str:
    return str(ExecutionId(bytes=choice.row.execution_id))
