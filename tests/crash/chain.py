"""One execution over all its lives: what each of them may do, given what the journal held."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from attrs import define, field

from tests.crash.evidence import CLOSING, look
from tests.crash.killing import Ending
from tests.crash.lines import CALLS

__all__ = ["Chain"]


@define
class Chain:
    """One execution over all its lives."""

    folder: Path
    closed: set[str] = field(factory=set)
    """The steps, by their ids, that the journal held as closed when the last life began."""

    taken: int = 0
    """How many calls there had been then."""

    values: dict[str, str] = field(factory=dict)
    """What has come back of a step that was closed before."""

    broken: list[str] = field(factory=list)

    def check(self, ending: Ending) -> None:
        """What one life may have done, given what the journal held before it."""
        calls = self.calls()
        ids: dict[str, set[str]] = defaultdict(set)
        made: dict[str, set[str]] = defaultdict(set)
        for step_id, line, value in calls:
            ids[line].add(step_id)
            made[line].add(value)
        self.broken += [f"{line} has the ids {ids[line]}" for line in ids if len(ids[line]) > 1]
        self.broken += [
            f"{line} was called although it was closed"
            for step_id, line, _ in calls[self.taken :]
            if step_id in self.closed
        ]
        for line, value in ending.said("saw"):
            if value not in made[line]:
                self.broken.append(f"{line} got {value}")
            if ids[line] <= self.closed and self.values.setdefault(line, value) != value:
                self.broken.append(f"{line} got {value} after {self.values[line]}")
        if not ending.killed and (ending.hung or ending.status):
            log = (self.folder / "log").read_text(errors="replace")[-3000:]
            self.broken.append(f"ended with {ending.status}\n{log}")
        self.taken = len(calls)
        for execution in look(self.folder).executions.values():
            self.closed = {step for _, step, kind, _ in execution.entries if kind in CLOSING}

    def calls(self) -> list[list[str]]:
        """Step id, line and value of each call of a function, in all lives."""
        file = self.folder / CALLS
        return [line.split(" ") for line in file.read_text().splitlines()] if file.exists() else []
