"""The one place where errors become a line on stderr and an exit code. Carries INV-5.

What durable-core raises says what happened and holds no secret. Of any other error only the type
is shown, because its text may hold anything.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TypeVar

import typer

from durable_cli.output import plain
from durable_core.errors import DurableError

__all__ = ["execute", "note", "reporting"]

T = TypeVar("T")

_FAILED: Final = 1
_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells count."""


@contextmanager
def reporting() -> Iterator[None]:
    """Run a command's work: an error in it ends the command with one line and exit code 1.

    A reader that closes the pipe early, such as `head`, ends it quietly with code 0.
    """
    try:
        yield
        sys.stdout.flush()
    except (typer.Exit, typer.BadParameter):
        raise
    except DurableError as error:
        _fail(str(error))
    except BrokenPipeError:
        # Python flushes stdout once more when it ends; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except KeyboardInterrupt:
        note("interrupted")
        raise typer.Exit(_INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001 - nothing may end in a traceback, it could hold a secret
        _fail(
            f"unexpected {type(error).__name__}; this is a defect of durable-core, please report it"
        )


def execute(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous work to its end, within `reporting`."""
    return asyncio.run(work)


def note(text: str) -> None:
    """Say something on stderr, in one line."""
    sys.stderr.write(f"{plain(text)}\n")


def _fail(text: str) -> NoReturn:
    note(f"error: {text}")
    raise typer.Exit(_FAILED) from None
