"""What a command is given that may be secret: a value in JSON, the token of a promise (INV-5)."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Final

import typer

from durable_core.errors import ConfigError
from durable_core.secretfile import read_secret_file

__all__ = ["json_value", "resolver_token"]

_STDIN: Final = "-"
_VARIABLE: Final = "DURABLE_PROMISE_TOKEN"
_FORM: Final = "64 hexadecimal digits"
_TOKEN: Final = re.compile(r"[0-9a-fA-F]{64}")


def json_value(text: str, hint: str) -> object:
    """The value that `text` is in JSON, or that stdin holds where it is `-`.

    Wrong usage, reported of the parameter `hint`, where it is no JSON.
    """
    try:
        return json.loads(_read_stdin(hint) if text == _STDIN else text)
    except (ValueError, RecursionError):
        # Not chained and not shown: the value may be a secret.
        message = "the value is not JSON; a text needs its quotes, as in '\"ch_42\"'"
        raise typer.BadParameter(message, param_hint=hint) from None


def resolver_token(file: Path | None) -> bytes:
    """The token in `file`, else in the environment, as hexadecimal text; `ConfigError`.

    Never an argument: those can be seen by other users of the machine.
    """
    if file is not None:
        text, source = read_secret_file(file, "token file", _FORM), f"token file {file}"
    else:
        text, source = os.environ.get(_VARIABLE, ""), _VARIABLE
    text = text.strip()
    if not text:
        message = (
            f"no token in {source}: put the promise's token there, or name a file of it with "
            f"--token-file, as {_FORM} (`promise.token.hex()`)"
        )
        raise ConfigError(message)
    if not _TOKEN.fullmatch(text):
        message = f"{source} does not hold a token; one is {_FORM} (`promise.token.hex()`)"
        raise ConfigError(message)
    return bytes.fromhex(text)


def _read_stdin(hint: str) -> str:
    """All of stdin as UTF-8, whatever the locale says; `ValueError` where it is not."""
    if sys.__stdin__ is None:
        message = "stdin is closed; there is no value to read"
        raise typer.BadParameter(message, param_hint=hint)
    try:
        return sys.stdin.buffer.read().decode()
    except OSError as error:
        message = f"stdin cannot be read: {error.strerror}"
        raise typer.BadParameter(message, param_hint=hint) from None
