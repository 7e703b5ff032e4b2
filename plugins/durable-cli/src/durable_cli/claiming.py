"""`durable claim`: take an execution from an owner that is gone, or that is cut off."""

from __future__ import annotations

from typing import Annotated

import typer

from durable_cli.output import print_json
from durable_cli.reporting import execute, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.ids import ExecutionId, execution_id_of

__all__ = ["claim"]


def claim(
    ctx: typer.Context,
    execution: Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")],
    *,
    force: Annotated[
        bool,
        typer.Option("--force", help="Also from an owner that lives: one that is stopped."),
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Take an execution from its owner, for any application that has its workflow.

    Durable when the command ends. An owner that wakes up later writes nothing more to it. A
    guarded effect that was under way there meets its policy: FAIL and SKIP never call it again,
    RERUN and reconcile may, with the same idempotency key. Kill a process that is only stopped
    before you settle with --did-not-run: it may still make the call.
    """
    with reporting():
        wanted = execution_id_of(execution)
        execute(_claimed(source_of(ctx, url, key_file), wanted, force=force))
        if as_json:
            print_json({"execution_id": str(wanted), "claimed": True})
            return
        typer.echo(f"execution {wanted} has no owner now; whoever has its workflow goes on with it")


async def _claimed(source: Source, execution_id: ExecutionId, *, force: bool) -> None:
    async with source.inspect() as journal:
        keyless = journal.wire.keyring.current is None
    async with source.engine(keyless=keyless) as engine:
        await engine.release(execution_id, force=force)
