"""`durable inspect`: everything that an operator asks about one execution. Carries INV-5."""

from __future__ import annotations

from typing import Annotated

import typer

from durable_cli.examined import examined_data, print_examined
from durable_cli.output import print_json
from durable_cli.reporting import REVEALED, execute, note, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.engine.examination import Examined, examine
from durable_core.ids import ExecutionId, execution_id_of

__all__ = ["inspect"]


def inspect(
    ctx: typer.Context,
    execution: Annotated[str, typer.Argument(metavar="ID", help="The execution's id.")],
    *,
    reveal: Annotated[
        bool,
        typer.Option("--reveal", help="Decrypt the outcome and error messages, in clear."),
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Say how an execution stands: who has it, what is in it, what it waits for, how it ended.

    And which commands settle or resume it. With a key its whole chain is verified first.
    """
    with reporting():
        wanted = execution_id_of(execution)
        found = execute(_examined(source_of(ctx, url, key_file), wanted, reveal=reveal))
        if reveal:
            note(REVEALED)
        if as_json:
            print_json(examined_data(found, reveal=reveal))
        else:
            print_examined(found, reveal=reveal)


async def _examined(source: Source, execution_id: ExecutionId, *, reveal: bool) -> Examined:
    async with source.inspect(key_optional=not reveal) as journal:
        return await examine(journal, await journal.execution(execution_id), reveal=reveal)
