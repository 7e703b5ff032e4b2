"""`durable cancel`: end an execution, or ask the engine that runs it to end it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Annotated, Final

import typer
from attrs import frozen

from durable_cli.asking import asked_owner, row_behind
from durable_cli.output import print_json
from durable_cli.reporting import execute, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core import DurableEngine
from durable_core.errors import ExecutionError, ExecutionTerminal
from durable_core.ids import ExecutionId, execution_id_of
from durable_core.model.execution import TERMINAL, Status, status_of

__all__ = ["cancel"]

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


@frozen
class _Asked:
    """The status behind it all, and whether a live owner had to be asked."""

    status: Status
    owner: bool


def cancel(
    ctx: typer.Context,
    execution: Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")],
    *,
    wait: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=86_400,
            help="Wait that long for its end; an error if it has not ended then.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Cancel an execution: at once where no engine has it, else by a request to the one that has.

    A guarded effect that is under way there is finished and journaled first. The request stays
    when the command ends; if its owner dies, the next engine follows it.
    """
    with reporting():
        wanted = execution_id_of(execution)
        asked = execute(_cancelled(source_of(ctx, url, key_file), wanted, wait))
        if as_json:
            data = {"execution_id": str(wanted), "status": asked.status.label}
            print_json(data | {"asked_owner": asked.owner})
            return
        if asked.owner:
            typer.echo(f"the live owner of execution {wanted} was asked to cancel it")
        else:
            typer.echo(f"execution {wanted} had no live owner and was cancelled at once")
        typer.echo(f"the execution is {asked.status.label}")


async def _cancelled(source: Source, execution_id: ExecutionId, wait: int | None) -> _Asked:
    async with source.inspect() as journal:
        before = (await journal.execution(execution_id)).row
        keyless = journal.wire.keyring.current is None
    async with source.engine(keyless=keyless) as engine:
        await engine.cancel(execution_id)
        row = await row_behind(engine, execution_id)
        owner = asked_owner(before, row)
        if wait is None:
            return _Asked(status_of(row.status), owner)
        return _Asked(await _ended(engine, execution_id, wait), owner)


async def _ended(engine: DurableEngine, execution_id: ExecutionId, seconds: int) -> Status:
    """Wait for the end. Asks again meanwhile: the owner may die before it has answered."""
    handle = await engine.get(execution_id)
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while (status := await handle.status()) not in TERMINAL:
        if time.monotonic() >= deadline:
            message = (
                f"execution {execution_id} is {status.label} after {seconds} s; the request stays "
                "with its owner"
            )
            raise ExecutionError(message)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
        with suppress(ExecutionTerminal):
            await engine.cancel(execution_id)
    if status is not Status.CANCELLED:
        message = f"execution {execution_id} is {status.label}: it ended before it was cancelled"
        raise ExecutionTerminal(message)
    return status
