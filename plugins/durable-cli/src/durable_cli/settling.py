"""`durable settle`: an operator's word on a guarded effect that nobody else can tell about."""

from __future__ import annotations

import enum
from typing import Annotated

import typer
from attrs import frozen

from durable_cli.asking import asked_owner, row_behind
from durable_cli.given import json_value
from durable_cli.output import plain, print_json
from durable_cli.reporting import execute, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.errors import ExecutionError
from durable_core.ids import ExecutionId, execution_id_of
from durable_core.model.execution import Status

__all__ = ["settle"]


class _Word(enum.Enum):
    RAN = "ran"
    DID_NOT_RUN = "did not run"
    ABANDON = "abandon"


@frozen
class _Settled:
    """The status behind it all, and whether a live owner was told."""

    status: str
    asked_owner: bool


def settle(
    ctx: typer.Context,
    execution: Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")],
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step's id, as `show` has it.")],
    *,
    ran: Annotated[bool, typer.Option("--ran", help="It ran; say with --value what came.")] = False,
    value: Annotated[
        str | None,
        typer.Option(help="The step's result in JSON; - reads it from stdin.", show_default=False),
    ] = None,
    did_not_run: Annotated[
        bool,
        typer.Option("--did-not-run", help="It did not run; it is called when the work goes on."),
    ] = False,
    abandon: Annotated[
        bool,
        typer.Option("--abandon", help="Nobody knows; cancel the execution."),
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Say what became of a guarded step that blocks its execution.

    Durable when the command ends. The work goes on when an application that has the workflow opens
    the journal, or at once where a live one owns the execution.
    """
    word = _word(ran=ran, did_not_run=did_not_run, abandon=abandon)
    result = _result(word, value)
    with reporting():
        wanted = execution_id_of(execution)
        settled = execute(_settled(source_of(ctx, url, key_file), wanted, step, word, result))
        if as_json:
            data = {"execution_id": str(wanted), "step_id": step, "word": word.value}
            told = {"status": settled.status, "asked_owner": settled.asked_owner}
            print_json(data | told)
            return
        if settled.asked_owner:
            typer.echo(f"the live owner of execution {wanted} has been told: {word.value}")
        else:
            typer.echo(f"step {plain(step)} of execution {wanted} is settled: {word.value}")
        typer.echo(f"the execution is {settled.status}")


def _word(*, ran: bool, did_not_run: bool, abandon: bool) -> _Word:
    if ran + did_not_run + abandon != 1:
        message = "say exactly one of --ran, --did-not-run and --abandon"
        raise typer.BadParameter(message)
    if ran:
        return _Word.RAN
    return _Word.DID_NOT_RUN if did_not_run else _Word.ABANDON


def _result(word: _Word, value: str | None) -> object:
    if (word is _Word.RAN) != (value is not None):
        message = "--ran needs --value (null where the step returns nothing), the others take none"
        raise typer.BadParameter(message, param_hint="--value")
    return None if value is None else json_value(value, "--value")


async def _settled(
    source: Source,
    execution_id: ExecutionId,
    step: str,
    word: _Word,
    value: object,
) -> _Settled:
    async with source.inspect() as journal:
        seen = await journal.execution(execution_id)
        waiting = [intent.row.step_id for intent in await journal.open_intents(seen)]
        keyless = journal.wire.keyring.current is None
    if seen.row.status != Status.BLOCKED.label or step not in waiting:
        blocked = seen.row.status == Status.BLOCKED.label
        message = (
            f"execution {execution_id} is {seen.row.status} and waits for no word on step "
            f"{step!r}; it waits for: {', '.join(waiting) if blocked else ''}"
        )
        raise ExecutionError(message.removesuffix("; it waits for: "))
    async with source.engine(keyless=keyless) as engine:
        if word is _Word.ABANDON:
            await engine.cancel(execution_id)
        else:
            await engine.settle(execution_id, step, ran=word is _Word.RAN, value=value)
        row = await row_behind(engine, execution_id)
        return _Settled(row.status, asked_owner(seen.row, row))
