"""The one place where errors become a line on stderr and an exit code. Carries INV-5.

What durable-core raises says what happened and holds no secret. Of any other error only the type
is shown, because its text may hold anything.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import typer

from durable_cli.output import plain
from durable_core.errors import DurableError

__all__ = ["REVEALED", "execute", "note", "reporting", "streams"]

T = TypeVar("T")

REVEALED: Final = "warning: plaintext follows: arguments, results and error messages, in clear"
_FAILED: Final = 1
_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells count."""


@contextmanager
def streams() -> Iterator[None]:
    """Make stdout and stderr fit to be written to, whatever the locale, and look after their end.

    What a stream's encoding has no character for is escaped. With stdout closed nothing can be
    told, so the process ends with code 1; so it does where the last of the output is not taken.
    """
    for descriptor in range(3):
        _occupy(descriptor)
    if sys.__stderr__ is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    if sys.__stdout__ is None:
        note("error: stdout is closed")
        sys.exit(_FAILED)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError as error:
        _discard_output()
        note(f"error: the output cannot be written: {error.strerror}")
        sys.exit(_FAILED)


def _occupy(descriptor: int) -> None:
    """Let no file that is opened later become a standard stream."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


def _discard_output() -> None:
    """Python flushes stdout once more when it ends; that must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
        _discard_output()
        raise typer.Exit(0) from None
    except OSError as error:
        _discard_output()
        _fail(f"the system refused: {error.strerror or type(error).__name__}")
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
