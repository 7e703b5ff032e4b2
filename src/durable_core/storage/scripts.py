"""Transactions of several statements that both dialects run alike, without saying how they run.

A script yields a text with its parameters, and is sent the rows that it gave. What it raises rolls
everything back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from durable_core.contracts.exchange import Fold, InboxRow
from durable_core.errors import EntryRejected
from durable_core.storage import texts
from durable_core.storage.keycheck import require_same

__all__ = ["NotAsFolded", "Script", "filing", "folding", "play", "storing_check"]

T = TypeVar("T")
Script: TypeAlias = Generator[tuple[str, Sequence[object]], list[tuple[Any, ...]], T]

_NO_EXECUTION: Final = "the journal holds no execution that the request could be for"


class NotAsFolded(Exception):
    """Rolls back a fold that does not apply."""


def play(script: Script[T], execute: Callable[[str, Sequence[object]], list[tuple[Any, ...]]]) -> T:
    """Run a script to its end by a driver that does not wait; what it returns."""
    try:
        step = next(script)
        while True:
            step = script.send(execute(*step))
    except StopIteration as end:
        returned: T = end.value
        return returned


def storing_check(waiting: tuple[int, bytes] | None) -> Script[None]:
    """Store the check of a key, if one was announced; `EntryRejected` if the id has another."""
    if waiting is not None:
        yield texts.INSERT_KEY_CHECK, waiting
        ((stored,),) = yield texts.SELECT_KEY_CHECK, waiting[:1]
        require_same(*waiting, stored)


def filing(row: InboxRow, insert: str, waiting: tuple[int, bytes] | None) -> Script[bool]:
    """File a request by the text `insert` unless its slot is taken; whether it was filed.

    `EntryRejected` where the execution does not exist.
    """
    yield from storing_check(waiting)
    filed = bool((yield insert, row))
    if not filed and not (yield texts.SELECT_EXECUTION, (row.execution_id,)):
        raise EntryRejected(_NO_EXECUTION)
    return filed


def folding(fold: Fold, waiting: tuple[int, bytes] | None) -> Script[None]:
    """Put checkpoints in the place of entries; `NotAsFolded` where something is not as it says."""
    yield from storing_check(waiting)
    if not (yield texts.HOLD_EXECUTION, (fold.execution_id, fold.owner_epoch, fold.status)):
        raise NotAsFolded
    for entries, checkpoint in fold.ranges:
        between = fold.execution_id, entries[0][0], entries[-1][0]
        if sorted((yield texts.DELETE_ENTRIES, between)) != list(entries):
            raise NotAsFolded
        yield texts.INSERT_ENTRY, checkpoint
