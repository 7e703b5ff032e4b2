"""What a run consists of: what it was given, how far it has come, and what its program has made."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from typing import Any

from attrs import define, field

from durable_core.engine.arriving import Arrivals
from durable_core.engine.cells import Cells
from durable_core.engine.definition import Workflow
from durable_core.engine.mailbox import Mailbox
from durable_core.engine.parts import EngineParts
from durable_core.engine.places import Place
from durable_core.engine.sequence import Sequence, ready_of
from durable_core.engine.strand import Strands
from durable_core.ids import ExecutionId
from durable_core.journal.lane import Lane
from durable_core.model.entries import EffectIntent
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.received import Received

__all__ = ["RunState"]


@define(eq=False, repr=False)
class RunState:
    """The state of one generation of an execution. Used by the event loop's thread alone.

    What a plain workflow never uses is made when it is first asked for.
    """

    parts: EngineParts
    workflow: Workflow[..., Any]
    lane: Lane
    cursor: ReplayCursor
    generation: int
    place: Place
    loop: asyncio.AbstractEventLoop = field(init=False, factory=asyncio.get_running_loop)
    ready: Sized = field(init=False, factory=lambda: ready_of(asyncio.get_running_loop()))
    """What the loop is about to run."""

    ready_before: int = field(init=False, default=0)
    """How much that was when the workflow's own code was last given control."""

    unsettled: bool = field(init=False, default=False)
    """Whether that code had given the loop more, a task that it made say, when it called its last
    step. What was made then comes first: it may call steps."""

    strands: Strands = field(init=False, factory=Strands)
    error: Exception | None = field(init=False, default=None)
    ended: bool = field(init=False, default=False)
    """Whether it takes no more calls: its workflow is over, or the engine ended it."""

    only_idempotent: bool = field(init=False, default=True)
    """Whether everything journaled in this generation is."""

    caught_up: bool = field(init=False, default=False)
    """Whether a step is known to have been called behind all that the journal holds."""

    inherits: bool = field(init=False, default=True)
    """Whether earlier runs may have left something to take over."""

    prompt_upto: int = field(init=False, default=0)
    """How many entries there were when the last one was prompt; 0 where none was."""

    _sequence: Sequence | None = field(init=False, default=None)
    _arrivals: Arrivals | None = field(init=False, default=None)
    _mailbox: Mailbox | None = field(init=False, default=None)
    _cells: Cells | None = field(init=False, default=None)
    _signals: Received | None = field(init=False, default=None)
    _blocking: list[EffectIntent] | None = field(init=False, default=None)
    execution_id: ExecutionId = field(init=False)

    @execution_id.default
    def _of_its_lane(self) -> ExecutionId:
        return self.lane.execution_id

    @property
    def sequence(self) -> Sequence:
        """The order in which steps are answered that wait at the same time."""
        if self._sequence is None:
            self._sequence = Sequence()
        return self._sequence

    @property
    def arrivals(self) -> Arrivals:
        """The steps that wait for what was not read yet."""
        if self._arrivals is None:
            self._arrivals = Arrivals(self.cursor, self.sequence)
        return self._arrivals

    @property
    def cells(self) -> Cells:
        """What is known of promises that the program has made, and of signals, by their ids."""
        if self._cells is None:
            self._cells = Cells(self.cursor)
        return self._cells

    @property
    def mailbox(self) -> Mailbox:
        """Which signals the program has asked for."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
        return self._mailbox

    @property
    def signals(self) -> Received:
        """The signals that the journal holds, or will; for who has read it to the end."""
        if self._signals is None:
            self._signals = self.cursor.signals.copy()
        return self._signals

    @property
    def blocking_intents(self) -> list[EffectIntent]:
        """What the journal still lacks for an operator to settle the steps that block the run."""
        if self._blocking is None:
            self._blocking = []
        return self._blocking
