"""Steps that wait until what closes them in the journal was read (EC-13, EC-14).

One read serves all of them, and each is let into the order of the journal when what it waits for
was among what came.
"""

from __future__ import annotations

from durable_core.engine.sequence import Sequence, Turn
from durable_core.replay.cursor import ReplayCursor

__all__ = ["Arrivals"]


class Arrivals:
    """Those of one run. Used by the event loop's thread alone."""

    __slots__ = ("_cursor", "_reading", "_sequence", "_waiting")

    def __init__(self, cursor: ReplayCursor, sequence: Sequence) -> None:
        self._cursor = cursor
        self._sequence = sequence
        self._waiting: dict[str, Turn] = {}
        self._reading = False

    def turn(self, step_id: str) -> Turn:
        """Done when what closes that step was read and its turn has come.

        Or when nothing of it can come any more, or reading has failed. It can be cancelled until
        what it waits for was read. Not where everything was read; raises for damage that is known.
        """
        if not self._reading:
            self._sequence.beside(self._read_on)
        turn = self._sequence.without_place()
        self._waiting[step_id] = turn
        return turn

    def _read_on(self) -> None:
        self._cursor.tell_when_loaded(self._read)
        self._reading = True

    def _read(self, error: BaseException | None) -> None:
        cursor, waiting = self._cursor, self._waiting
        self._reading = False
        nothing_more = error is not None or cursor.exhausted
        self._waiting = {}
        for step_id, turn in waiting.items():
            row = cursor.closing(step_id)
            if turn.done():
                continue
            if row is not None:
                self._sequence.let_in(turn, row.entry_no)
            elif nothing_more:
                turn.set_result(None)
            else:
                self._waiting[step_id] = turn
        if self._waiting:
            self._read_on()
