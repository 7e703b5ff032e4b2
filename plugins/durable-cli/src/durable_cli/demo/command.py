"""`durable demo`: runs the demonstration, prints what happened, and fails if anything disagrees."""

from __future__ import annotations

import os
import random
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from durable_cli.demo.check import Finding, Judgement, judge
from durable_cli.demo.orders import Order, bundled_orders, read_orders, write_orders
from durable_cli.demo.place import Place
from durable_cli.demo.supervisor import Kill, Supervisor
from durable_cli.output import console, plain, print_table
from durable_cli.reporting import execute, reporting
from durable_core.errors import ConfigError, DurableError
from durable_core.keysources import generate_key

__all__ = ["demo"]

_DEADLINE_SECS: Final = 60
_SECS_EACH: Final = 0.5
"""How much longer the deadline is for each order and for each kill."""

_LARGEST_SEED: Final = 1 << 32


def demo(
    orders: Annotated[int, typer.Option(min=1, max=1000, help="How many orders.")] = 40,
    kills: Annotated[int, typer.Option(min=0, max=100, help="How often the worker dies.")] = 5,
    seed: Annotated[
        int | None,
        typer.Option(help="Draws the moments of the kills; random unless given.", min=0),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="Work in this folder, new or empty, and keep it.", show_default=False),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(help="Run nothing; check what --keep left there.", show_default=False),
    ] = None,
) -> None:
    """Fulfil orders in a process that is killed over and over, and check every effect.

    Each order is charged, invoiced, mailed and sent to the warehouse. The worker gets SIGKILL at
    random moments and is started again. Afterwards a ledger outside of the journal must show that
    nobody was charged twice.
    """
    if keep is not None and check is not None:
        message = "--keep and --check exclude each other"
        raise typer.BadParameter(message)
    with reporting():
        if check is not None:
            _check(Place(check.resolve()))
        else:
            drawn = secrets.randbelow(_LARGEST_SEED) if seed is None else seed
            with _folder(keep) as place:
                _run(place, bundled_orders(orders), kills, drawn, kept=keep is not None)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Place]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="durable-demo-") as folder:
            yield Place(Path(folder).resolve())
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        taken = any(keep.iterdir())
    except OSError as error:
        message = f"cannot use {keep} as the folder of the demonstration: {error.strerror}"
        raise ConfigError(message) from error
    if taken:
        message = f"{keep} is not empty; name a new folder, or look at that one with --check"
        raise ConfigError(message)
    yield Place(keep.resolve())


def _run(place: Place, orders: list[Order], kills: int, seed: int, *, kept: bool) -> None:
    begun = time.monotonic()
    key = generate_key()
    write_orders(orders, place.orders)
    if kept:
        file = os.open(place.key_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(file, "w") as opened:
            opened.write(f"{key}\n")
    typer.echo(f"{len(orders)} orders, {kills} kills, seed {seed}, in {place.folder}")
    done = _supervise(
        Supervisor(
            place,
            key,
            orders,
            kills,
            random.Random(seed),  # noqa: S311 - the moments need to be repeatable, not secret
            begun + _DEADLINE_SECS + _SECS_EACH * (len(orders) + kills),
        ),
    )
    leaked = [name for kill in done for name in kill.leaked]
    judgement = execute(judge(place, key, orders, leaked))
    _print_findings(judgement)
    _print_summary(judgement, done, kills, time.monotonic() - begun)
    if kept:
        _print_ways_on(place)
    _require_agreement(judgement)


def _check(place: Place) -> None:
    try:
        key = place.key_file.read_text(encoding="utf-8").strip()
        orders = read_orders(place.orders.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{place.folder} holds no demonstration; make one with `durable demo --keep`"
        raise ConfigError(message) from error
    judgement = execute(judge(place, key, orders))
    _print_findings(judgement)
    _require_agreement(judgement)


def _supervise(supervisor: Supervisor) -> list[Kill]:
    screen = console()
    columns = (TextColumn("effects outside"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("effects", total=supervisor.effects)

        def on_kill(kill: Kill) -> None:
            left = kill.survey
            bar.console.print(
                f"kill {kill.number} after {kill.effects} effects: {left.completed} orders done, "
                f"{left.running} open, {left.steps} steps journaled, "
                f"{left.in_doubt} in doubt",
            )

        return supervisor.run(lambda effects: bar.update(task, completed=effects), on_kill)


def _print_findings(judgement: Judgement) -> None:
    print_table(
        ("EFFECT", "CLASS", "IN DOUBT", "PROMISED", "SEEN", "AGAIN", "VERDICT"),
        [_cells(finding) for finding in judgement.findings],
    )


def _cells(finding: Finding) -> tuple[str, ...]:
    return (
        finding.effect or "effects of strangers",
        finding.effect_class,
        finding.in_doubt,
        finding.promise,
        str(finding.seen),
        str(finding.repeated),
        "WRONG" if finding.problems else "ok",
    )


def _print_summary(judgement: Judgement, done: Sequence[Kill], wanted: int, secs: float) -> None:
    early = "" if len(done) == wanted else f" of {wanted}: the work was done before the others"
    typer.echo(f"kills             {len(done)}{early}")
    typer.echo(f"resumed orders    {sum(kill.survey.running for kill in done)}")
    typer.echo(f"replayed steps    {sum(kill.survey.steps for kill in done)}")
    typer.echo(f"effects in doubt  {sum(kill.survey.in_doubt for kill in done)}")
    typer.echo(f"  recovered       {judgement.reconciled}")
    typer.echo(f"  assumed done    {judgement.assumed}")
    typer.echo(f"journal verified  {judgement.entries} entries, digest {judgement.digest}")
    typer.echo(f"time              {secs:.1f} s")


def _print_ways_on(place: Place) -> None:
    key_file = plain(str(place.key_file))
    typer.echo(f"look at it: durable list --url {plain(place.url)} --key-file {key_file}")


def _require_agreement(judgement: Judgement) -> None:
    problems = judgement.problems
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        message = f"the outside does not agree with the journal: {problems[0]}{more}"
        raise DurableError(message)
