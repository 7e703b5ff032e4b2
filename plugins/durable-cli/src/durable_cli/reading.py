"""`durable list`, `show` and `verify`: they read, and change nothing. Carries INV-5.

Payloads stay sealed unless `show` is told to reveal them, and then a warning comes first.
"""

from __future__ import annotations

import hmac
import re
from typing import Annotated, Final

import typer

from durable_cli.output import print_json
from durable_cli.reporting import REVEALED, execute, note, reporting
from durable_cli.showing import (
    entry_data,
    execution_data,
    print_entries,
    print_executions,
    print_payloads,
    print_report,
)
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.engine.inspection import Check, SeenEntry, SeenExecution
from durable_core.engine.verification import VerifyReport
from durable_core.errors import IntegrityError
from durable_core.ids import ExecutionId, execution_id_of
from durable_core.model.execution import Status, status_of

__all__ = ["list_executions", "show", "verify"]

_LABELS: Final = [status.label for status in Status]


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
        message = f"{status!r} is not one of {', '.join(_LABELS)}"
        raise typer.BadParameter(message, param_hint="--status")
    wanted = None if status is None else status_of(status)
    with reporting():
        found = execute(_listed(source_of(ctx, url, key_file), wanted, workflow, limit + 1))
        seen = found[:limit]
        if as_json:
            print_json([execution_data(one) for one in seen])
        else:
            print_executions(seen)
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
            note(REVEALED)
        if as_json:
            shown = [entry_data(entry, reveal=reveal) for entry in entries]
            print_json(execution_data(seen) | {"entries": shown})
            return
        print_executions([seen])
        typer.echo()
        print_entries(entries)
        if reveal:
            typer.echo()
            print_payloads(entries)


def _as_digest(given: str | None) -> str | None:
    if given is None or re.fullmatch(r"\s*[0-9A-Fa-f]{64}\s*", given):
        return given
    message = "a digest has 64 hexadecimal digits, as `durable verify` prints it"
    raise typer.BadParameter(message)


def verify(
    ctx: typer.Context,
    execution: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="One execution; all where left out."),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            help="The digest that was kept elsewhere.", show_default=False, callback=_as_digest
        ),
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
        print_report(report, as_json=as_json)
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
    return hmac.compare_digest(digest.encode(), expected.strip().lower().encode(errors="replace"))


def _require_undamaged(seen: list[SeenExecution]) -> None:
    damaged = sum(one.check is Check.DAMAGED for one in seen)
    if damaged:
        message = (
            f"executions marked DAMAGED: {damaged}; their records were changed outside "
            "durable-core, restore the journal from a backup (`durable verify ID` says more)"
        )
        raise IntegrityError(message)
