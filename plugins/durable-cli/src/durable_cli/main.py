"""The command `durable`: which commands there are, and what stands in front of them."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Annotated

import typer

from durable_cli.cancelling import cancel
from durable_cli.claiming import claim
from durable_cli.demo.command import demo
from durable_cli.inspecting import inspect
from durable_cli.keygen import keygen
from durable_cli.plugins import plugins
from durable_cli.pruning import prune
from durable_cli.reading import list_executions, show, verify
from durable_cli.reporting import streams
from durable_cli.resolving import FREELY, resolve
from durable_cli.resuming import resume
from durable_cli.settling import settle
from durable_cli.source import KeyFileOption, Source, UrlOption

__all__ = ["build", "run"]

_HELP = """Look at a durable-core journal, settle what is open in it, and see it survive crashes.

The journal is --url, else DURABLE_URL, else the url in durable.toml. Keys are in --key-file, else
in DURABLE_KEY, else where durable.toml says. No application has to be running, and one may be.

Exit codes: 0 done, 1 an error (one line on stderr), 2 wrong usage.
"""


def build() -> typer.Typer:
    """The command with all its sub-commands."""
    app = typer.Typer(
        name="durable",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(help=_HELP)(_common)
    app.command("demo")(demo)
    app.command("keygen")(keygen)
    app.command("list")(list_executions)
    app.command("show")(show)
    app.command("inspect")(inspect)
    app.command("verify")(verify)
    app.command("settle")(settle)
    app.command("resolve", context_settings=FREELY)(resolve)
    app.command("cancel")(cancel)
    app.command("resume")(resume)
    app.command("claim")(claim)
    app.command("prune")(prune)
    app.command("plugins")(plugins)
    return app


def run() -> None:
    """Run the command with the process's arguments and end the process with its exit code."""
    # Warnings of the engine have no place among the one line that an error may have.
    logging.getLogger().addHandler(logging.NullHandler())
    with streams():
        build()(prog_name="durable")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"durable {version('durable-cli')}")
        raise typer.Exit


def _common(
    ctx: typer.Context,
    url: UrlOption = None,
    key_file: KeyFileOption = None,
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and stop.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    ctx.obj = Source(url, key_file)
