"""Signals: values that outsiders send to an execution, received in order, exactly once.

A signal is a promise that nobody has made: the n-th one of a name resolves the n-th promise of that
name. Senders file requests; the owner numbers them in the order of filing and journals each with
the id of its request, so that one that is answered twice, since the owner was killed between the
journal and the inbox, is journaled once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from durable_core.engine.arguments import checked_text
from durable_core.engine.awaiting import wait_for
from durable_core.engine.promise import Cell
from durable_core.engine.sleeping import Wait
from durable_core.errors import ExecutionLocked
from durable_core.wire.payload import UNTYPED
from durable_core.wire.promises import signal_id
from durable_core.wire.waits import Signal

if TYPE_CHECKING:
    from durable_core.engine.run import Run

__all__ = ["RECEIVE", "checked_name", "deliver", "receive", "unreceived"]

RECEIVE: Final = "durable.receive"


def receive(run: Run, name: object, kind: object, delay_ms: int | None) -> Coroutine[Any, Any, Any]:
    """Take a place now; the coroutine waits for the next signal of that name."""
    name = checked_name(name)
    mailbox = run.mailbox
    mailbox.require_reader(name, run.branch.path)
    wait = Wait.take(run, RECEIVE)
    number = mailbox.next_number(name)
    cell = _cell_of(run, name, number)
    cell.kind = kind
    return wait_for(run, wait, cell, delay_ms, lambda: mailbox.give_back(name, number))


async def deliver(run: Run, request_id: bytes, name: str, payload: bytes) -> None:
    """Journal one signal as the next of its name, unless it was journaled before.

    `ExecutionLocked` while the run replays: which number is next is known at the end of it.
    """
    if not run.cursor.exhausted:
        message = f"execution {run.execution_id} replays; the signal waits for the end of it"
        raise ExecutionLocked(message)
    received = run.signals
    if request_id in received:
        return
    signal = Signal(
        signal_id(run.lane.row.execution_id, name, received.count(name)).bytes, name, request_id
    )
    cell = _cell_of(run, name, received.count(name))
    # Counted once it is queued: one that was refused stays in the inbox, and is not here yet.
    committed = await cell.hand_over(run, payload, signal.detail())
    received.add(signal)
    await asyncio.shield(committed)
    run.parts.failpoints.reach("engine.signal.journaled")


def unreceived(run: Run) -> list[tuple[Signal, bytes]]:
    """The signals that are journaled, or on their way, and that the program has not been told of.

    With their payloads, in the order of the journal. For a run that takes no more signals, and has
    read its journal to the end.
    """
    found: dict[int, tuple[Signal, bytes]] = {}
    for row in run.cursor.resolutions:
        signal = Signal.find(row.detail)
        if signal is not None:
            found[row.entry_no] = signal, run.cursor.open_payload(row)
    for cell in run.cells.all():
        signal = Signal.find(cell.detail) if cell.detail else None
        if signal is not None and cell.entry_no is not None:
            found[cell.entry_no] = signal, cell.payload or b""
    return [found[entry_no] for entry_no in sorted(found)]


def checked_name(name: object) -> str:
    """`name`, if a signal can have it; `ConfigError` otherwise."""
    return checked_text(name, "a signal's name")


def _cell_of(run: Run, name: str, number: int) -> Cell:
    """What the run knows of a signal that has come, or that somebody waits for."""
    signal = signal_id(run.lane.row.execution_id, name, number).bytes
    cell = run.cells.get(signal)
    if cell is None:
        cell = Cell(signal, f"signal {name}", UNTYPED, once=True)
        run.cells.add(cell)
    return cell
