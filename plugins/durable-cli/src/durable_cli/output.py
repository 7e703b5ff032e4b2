"""How results look: tables for people, JSON for programs, and nothing that steers a terminal.

A table is as wide as its content, on a terminal too, so that no id is ever cut or folded.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from attrs import frozen
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "console",
    "plain",
    "print_fields",
    "print_json",
    "print_table",
    "printable",
    "shown_time",
    "with_bytes_shown",
]

_WIDE: Final = 100_000
_LONGEST_INTEGER_BITS: Final = 4096
"""Longer ones are shown in hexadecimal: Python refuses to write thousands of decimal digits."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Inside an `except BrokenPipeError`: rich would end the process with code 1.
        raise  # noqa: PLE0704


def console(width: int | None = None) -> Console:
    """A console on stdout that interprets nothing in what it is given; the terminal's width."""
    return _Console(width=width, highlight=False, markup=False, emoji=False)


def plain(text: str) -> str:
    """`text` in one line, every character that is not printable escaped."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in " ".join(text.split())
    )


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings, each in one line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    screen = console(_WIDE)
    with screen.capture() as captured:
        screen.print(table)
    # The last column needs no padding: it could fill a line of the terminal.
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Print a name and its value in each line, the values below each other."""
    width = max(len(name) for name, _ in fields) + 2
    sys.stdout.writelines(f"{name:<{width}}{plain(value)}\n" for name, value in fields)


def print_json(value: object) -> None:
    """Print `value` as indented JSON on stdout."""
    sys.stdout.write(json.dumps(with_bytes_shown(value), indent=2, allow_nan=False) + "\n")


def shown_time(
    milliseconds: int | None,
    precision: Literal["seconds", "milliseconds"] = "milliseconds",
) -> str | None:
    """A time of the journal in ISO 8601, UTC."""
    if milliseconds is None:
        return None
    try:
        moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def with_bytes_shown(value: object) -> object:
    """Decoded CBOR as JSON can say it; what JSON has no word for is tagged: `{"bytes": "00ff"}`."""
    match value:
        case int() if _is_long(value):
            return {"int": hex(value)}
        case None | bool() | int() | str():
            return value
        case Mapping() if all(isinstance(key, str) for key in value):
            return {key: with_bytes_shown(item) for key, item in value.items()}
        case Mapping():
            # JSON's keys are texts, and two keys may have one spelling.
            pairs = value.items()
            return {"map": [[with_bytes_shown(key), with_bytes_shown(item)] for key, item in pairs]}
        case list() | tuple():
            return [with_bytes_shown(item) for item in value]
        case _:
            return _tagged(value)


def printable(value: object) -> object:
    """Decoded CBOR whose `repr` can be taken, whatever the length of its integers."""
    match value:
        case int() if _is_long(value):
            return _Hexadecimal(value)
        case Mapping():
            return {printable(key): printable(item) for key, item in value.items()}
        case list():
            return [printable(item) for item in value]
        case tuple() | set() | frozenset():
            return type(value)(printable(item) for item in value)
        case _:
            return value


@frozen(repr=False)
class _Hexadecimal:
    value: int

    def __repr__(self) -> str:
        return hex(self.value)


def _is_long(value: int) -> bool:
    return value.bit_length() > _LONGEST_INTEGER_BITS


def _in_order(items: Iterable[object]) -> list[object]:
    return sorted(items, key=lambda item: repr(printable(item)))


def _tagged(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case bytes() | bytearray():
            return {"bytes": bytes(value).hex()}
        case set() | frozenset():
            return {"set": [with_bytes_shown(item) for item in _in_order(value)]}
        case _:
            return {type(value).__name__.lower(): str(value)}
