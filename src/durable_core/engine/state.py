"""What a run consists of: what it was given, how far it has come, and what its program has made."""

from __future__ import annotations

import asyncio
from typing import Any

from durable_core.engine.cells import Cells
from durable_core.engine.definition import Workflow
from durable_core.engine.mailbox import Mailbox
from durable_core.engine.parts import EngineParts
from durable_core.engine.places import Place
from durable_core.engine.sequence import Sequence
from durable_core.engine.strand import Strands
from durable_core.journal.lane import Lane
from durable_core.model.entries import EffectIntent
from durable_core.replay.cursor import ReplayCursor
from durable_core.replay.received import Received

__all__ = ["RunState"]


class RunState:
    """The state of one generation of an execution. Used by the event loop's thread alone.

    What a plain workflow never uses is made when it is first asked for.
    """

    __slots__ = (
        "_blocking",
        "_cells",
        "_mailbox",
        "_sequence",
        "_signals",
        "caught_up",
        "cursor",
        "ended",
        "error",
        "execution_id",
        "generation",
        "inherits",
        "lane",
        "loop",
        "only_idempotent",
        "parts",
        "place",
        "prompt_upto",
        "strands",
        "workflow",
    )

    def __init__(
        self,
        parts: EngineParts,
        workflow: Workflow[..., Any],
        lane: Lane,
        cursor: ReplayCursor,
        generation: int,
        place: Place,
    ) -> None:
        self.parts = parts
        self.workflow = workflow
        self.lane = lane
        self.cursor = cursor
        self.generation = generation
        self.place = place
        self.loop = asyncio.get_running_loop()
        self.execution_id = lane.execution_id
        self.strands = Strands()
        self.error: Exception | None = None
        self.ended = False
        """Whether it takes no more calls: its workflow is over, or the engine ended it."""

        self.only_idempotent = True
        """Whether everything journaled in this generation is."""

        self.caught_up = False
        """Whether a step is known to have been called behind all that the journal holds."""

        self.inherits = True
        """Whether earlier runs may have left something to take over."""

        self.prompt_upto = 0
        """How many entries there were when the last one was prompt; 0 where none was."""

        self._sequence: Sequence | None = None
        self._mailbox: Mailbox | None = None
        self._cells: Cells | None = None
        self._signals: Received | None = None
        self._blocking: list[EffectIntent] | None = None

    @property
    def sequence(self) -> Sequence:
        """The order in which steps are answered that wait at the same time."""
        if self._sequence is None:
            self._sequence = Sequence()
        return self._sequence

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
