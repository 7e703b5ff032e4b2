"""`durable keygen`: a new master key, on stdout and nowhere else."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from durable_cli.reporting import note, reporting
from durable_core.keysources import generate_key

__all__ = ["keygen"]


def keygen(
    key_id: Annotated[
        int,
        typer.Option("--id", min=1, max=255, help="The key's id; one that was never used."),
    ] = 1,
) -> None:
    """Print a new master key as an entry of DURABLE_KEY.

    Whoever has the key can read the journal, and without it nobody can. To rotate, add the new
    entry behind the old ones everywhere, separated by a comma, so that every process can read what
    it seals; then move it to the front.
    """
    with reporting():
        sys.stdout.write(f"{generate_key(key_id)}\n")
        if sys.stdout.isatty():
            note("keep it secret and keep it safe: export DURABLE_KEY, or a file with mode 0600")
