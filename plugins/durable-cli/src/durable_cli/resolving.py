"""`durable resolve`: the answer that a workflow waits for, given from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from durable_cli.given import json_value, resolver_token
from durable_cli.output import print_json
from durable_cli.reporting import execute, reporting
from durable_cli.source import JsonOption, KeyFileOption, Source, UrlOption, source_of
from durable_core.ids import PromiseId, promise_id_of

__all__ = ["FREELY", "resolve"]

FREELY: Final = {"ignore_unknown_options": True, "allow_extra_args": True}
"""How arguments are parsed: `-7` is a value, and no error repeats a part of one."""


def resolve(
    ctx: typer.Context,
    promise: Annotated[str, typer.Argument(metavar="PROMISE_ID", help="The promise's id.")],
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="Its value in JSON; - reads it from stdin."),
    ] = None,
    *,
    reject: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Reject it, in place of a value.", show_default=False),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the promise's token, in place of DURABLE_PROMISE_TOKEN.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
) -> None:
    """Resolve a promise that a workflow waits for, or reject it.

    The token is 64 hexadecimal digits, and no argument, which other users could see. The answer is
    filed durably when the command ends; the engine that has the execution journals it, at once
    where one lives. Given once more it is the same; another one comes too late.
    """
    if ctx.args:
        message = "there is more than an id and one VALUE; put the value in quotes"
        raise typer.BadParameter(message, param_hint="VALUE")
    if (value is None) == (reject is None):
        message = "say either the VALUE (null where there is nothing to say) or --reject REASON"
        raise typer.BadParameter(message, param_hint="VALUE")
    answer = None if value is None else json_value(value, "VALUE")
    with reporting():
        wanted = promise_id_of(promise)
        token = resolver_token(token_file)
        execute(_resolved(source_of(ctx, url, key_file), wanted, token, answer, reject))
        outcome = "resolved" if reject is None else "rejected"
        if as_json:
            print_json({"promise_id": str(wanted), "outcome": outcome})
            return
        typer.echo(f"promise {wanted} is {outcome}")


async def _resolved(
    source: Source, promise_id: PromiseId, token: bytes, value: object, reason: str | None
) -> None:
    async with source.promise(promise_id, token) as handle:
        if reason is None:
            await handle.resolve(value)
        else:
            await handle.reject(reason)
