"""What the arguments of the commands may be: checked before anything is measured."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.machine import IN_MEMORY, filesystem_of

__all__ = ["add_folder", "file_to_write", "folder", "one_of", "word"]


def add_folder(parser: ArgumentParser) -> None:
    """`--folder`, where the journals of a run are written."""
    parser.add_argument(
        "--folder",
        type=_on_disk,
        default=tempfile.gettempdir(),
        metavar="DIR",
        help="where the journals are written; must be on a disk (default: %(default)s)",
    )


def _on_disk(text: str) -> Path:
    path = folder(text)
    filesystem = filesystem_of(path)
    if filesystem in IN_MEMORY:
        message = f"{text} is {filesystem}, where nothing is durable; give --folder"
        raise ArgumentTypeError(message)
    return path


def folder(text: str) -> Path:
    """A folder that is there."""
    path = Path(text)
    if not path.is_dir():
        message = f"there is no folder {text!r}"
        raise ArgumentTypeError(message)
    return path


def file_to_write(text: str) -> Path:
    """A file in a folder that is there."""
    path = Path(text)
    if path.is_dir():
        message = f"{text!r} is a folder, not a file"
        raise ArgumentTypeError(message)
    return folder(str(path.parent)) / path.name


def word(text: str) -> str:
    """A part of a file's name."""
    if Path(text).name != text:
        message = f"{text!r} is no part of a file's name"
        raise ArgumentTypeError(message)
    return text


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """One of `names`. As `choices`, which also refuses an empty list of arguments."""
    known = list(names)

    def name(text: str) -> str:
        if text not in known:
            message = f"there is no {text!r}; choose from {', '.join(known)}"
            raise ArgumentTypeError(message)
        return text

    return name
