"""What the arguments of the commands may be: checked before anything is measured."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["file_to_write", "folder", "one_of", "word"]


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
