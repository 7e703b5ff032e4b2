"""`durable resume`: let a failed, diverged or orphaned execution run again, elsewhere or here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from attrs import frozen

from durable_cli.application import app_output_aside, load_workflows, require_app
from durable_cli.asking import asked_owner, row_behind
from durable_cli.examined import ending_data, ending_words
from durable_cli.output import plain, print_json
from durable_cli.reporting import REVEALED, execute, note, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.engine.definition import Workflow
from durable_core.engine.examination import Examined, examine
from durable_core.errors import ConfigError, DurableError
from durable_core.ids import ExecutionId, execution_id_of
from durable_core.model.execution import ExecutionRow

__all__ = ["resume"]


def resume(
    ctx: typer.Context,
    execution: Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")],
    *,
    app: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:ATTRIBUTE",
            help="Run it here, with these workflows: a sequence of them, or a module.",
            show_default=False,
        ),
    ] = None,
    reveal: Annotated[
        bool,
        typer.Option("--reveal", help="With --app: decrypt the outcome and print it in clear."),
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Let an execution run again that has failed, was blocked by a divergence, or has no owner.

    A failed one goes on in a new generation that takes over what it had done. Without --app
    whichever engine has its workflow goes on with it; a live owner is asked to. With --app it runs
    here to its end, and what the application prints goes to stderr.
    """
    if app is not None:
        require_app(app)
    elif reveal:
        message = "without --app there is no outcome to reveal"
        raise typer.BadParameter(message, param_hint="--reveal")
    with reporting():
        wanted = execution_id_of(execution)
        source = source_of(ctx, url, key_file)
        if app is None:
            _tell(wanted, execute(_given_up(source, wanted)), as_json=as_json)
            return
        with app_output_aside():
            ended = execute(_run_here(source, wanted, load_workflows(app), reveal=reveal))
        _tell_ending(ended, reveal=reveal, as_json=as_json)


@frozen
class _Resumed:
    """The execution's row behind it all, and whether a live owner was asked."""

    row: ExecutionRow
    asked_owner: bool


@frozen
class _Ended:
    """How it stands behind its run here, and the error with which that ended."""

    found: Examined
    error: DurableError | None


def _tell(wanted: ExecutionId, resumed: _Resumed, *, as_json: bool) -> None:
    row = resumed.row
    if as_json:
        data = {"execution_id": str(wanted), "status": row.status, "generation": row.generation}
        print_json(data | {"asked_owner": resumed.asked_owner})
        return
    if resumed.asked_owner:
        typer.echo(f"the live owner of execution {wanted} was asked to resume it")
    else:
        workflow = plain(row.workflow)
        typer.echo(f"execution {wanted} runs again in whichever engine has workflow {workflow!r}")
    typer.echo(f"the execution is {row.status}, generation {row.generation}")


def _tell_ending(ended: _Ended, *, reveal: bool, as_json: bool) -> None:
    found, row = ended.found, ended.found.seen.row
    if reveal:
        note(REVEALED)
    if as_json:
        data = {"execution_id": found.seen.name, "status": row.status}
        outcome = {"outcome": ending_data(found.ending, reveal=reveal)}
        print_json(data | {"generation": row.generation} | outcome)
    else:
        typer.echo(f"the execution is {row.status}, generation {row.generation}")
        typer.echo(f"outcome: {plain(ending_words(found, reveal=reveal))}")
    if ended.error is not None:
        raise ended.error


async def _given_up(source: Source, execution_id: ExecutionId) -> _Resumed:
    async with source.inspect() as journal:
        before = (await journal.execution(execution_id)).row
        keyless = journal.wire.keyring.current is None
    async with source.engine(keyless=keyless) as engine:
        await engine.resume(execution_id, run="anywhere")
        row = await row_behind(engine, execution_id)
        return _Resumed(row, asked_owner(before, row))


async def _run_here(
    source: Source,
    execution_id: ExecutionId,
    workflows: Sequence[Workflow[..., Any]],
    *,
    reveal: bool,
) -> _Ended:
    async with source.inspect() as journal:
        seen = await journal.execution(execution_id)
        keyless = journal.wire.keyring.current is None
    names = [workflow.name for workflow in workflows]
    if seen.row.workflow not in names:
        message = (
            f"execution {execution_id} is of workflow {seen.row.workflow!r}, which --app does not "
            f"have; it has: {', '.join(names)}"
        )
        raise ConfigError(message)
    error: DurableError | None = None
    async with source.engine(workflows, keyless=keyless) as engine:
        handle = await engine.resume(execution_id)
        try:
            await handle.result()
        except DurableError as raised:
            error = raised
    async with source.inspect() as journal:
        return _Ended(
            await examine(journal, await journal.execution(execution_id), reveal=reveal), error
        )
