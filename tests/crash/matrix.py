"""Chains of lives: killed again and again, checked after each kill, and let live in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Final

from attrs import define, frozen

from tests.crash.evidence import Evidence, look
from tests.crash.killing import Ending, Moment, Nursery, nursery
from tests.crash.program import RAISES, STEPS
from tests.crash.promises import broken_at_the_end, broken_between, broken_by_a_kill

__all__ = ["FAILPOINTS", "Budget", "Case", "Matrix", "Tally", "random_moments", "random_plan"]

Plans = Mapping[str, Sequence[Sequence[str]]]

ON_OPEN: Final = ("backend.migrate.before", "backend.migrate.inside")
ON_THE_WAY: Final = (
    "backend.commit.after",
    "backend.commit.before",
    "backend.commit.inside",
    "backend.finalize.inside",
    "engine.effect.after",
    "engine.effect.before",
    "engine.finish.after",
    "engine.finish.before",
    "engine.queue.after",
    "engine.queue.before",
    "engine.result.after",
    "engine.result.before",
)
WHILE_WAITING: Final = (
    "engine.child.started",
    "engine.child.starting",
    "engine.promise.created",
    "engine.promise.creating",
    "engine.promise.resolved",
    "engine.promise.resolving",
    "engine.signal.filed",
    "engine.signal.journaled",
    "engine.signal.received",
    "engine.timer.armed",
    "engine.timer.due",
    "engine.timer.fired",
)
ON_CONTINUING: Final = ("engine.continue.after", "engine.continue.before")
IN_A_FOLD: Final = ("engine.fold.before", "engine.fold.committed")
"""Where `test_fold_kills.py` kills: a program has to be long to come there."""

FAILPOINTS: Final = (*ON_OPEN, *ON_THE_WAY, *WHILE_WAITING, *ON_CONTINUING, *IN_A_FOLD)
"""Every point at which crash tests kill, by name."""

AT_ONCE: Final = 3
NURSERIES: Final = 4
"""One more than lives at once: a chain moves from one hash seed to another."""


@define
class Tally:
    """What the terminal summary reports."""

    kills: int = 0
    violations: int = 0

    @property
    def summary(self) -> str:
        return f"crash matrix: {self.kills} kills, {self.violations} violations"


class Budget:
    """How many kills are still to be made; shared by threads.

    As many lives may end before their kill comes, be the machine as it may. When these are used up
    each chain begins with a kill that is sure, so that the whole comes to an end on any machine.
    """

    def __init__(self, kills: int) -> None:
        self._left = kills
        self._missing = kills
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return self._left > 0

    def take(self) -> bool:
        """Whether there is one left, which is the caller's then."""
        with self._lock:
            if not self._left:
                return False
            self._left -= 1
            return True

    def give_back(self) -> None:
        """The kill was not made: its life had ended before."""
        with self._lock:
            self._left += 1
            self._missing -= 1

    @property
    def may_miss(self) -> bool:
        """Whether the first life of a chain may end before its kill comes."""
        return self._missing > 0


@frozen
class Case:
    """One chain: where, what is to be done, and when each life is killed.

    With `surely`, a chain without any kill is a violation: the case would prove nothing. A moment
    that killed nothing is given back to the `budget`.
    """

    folder: Path
    plans: Plans
    moments: Iterable[Moment]
    surely: bool = False
    budget: Budget | None = None


@define
class Verdict:
    """What one chain came to."""

    kills: int
    broken: list[str]


@frozen
class Matrix:
    """Plays chains, two at once, and counts."""

    tally: Tally
    _idle: SimpleQueue[Nursery]
    _threads: ThreadPoolExecutor

    @classmethod
    @contextmanager
    def opened(cls, tally: Tally) -> Iterator[Matrix]:
        """A matrix with its serving processes, which end on leaving."""
        with ExitStack() as stack:
            idle: SimpleQueue[Nursery] = SimpleQueue()
            for seed in range(1, NURSERIES + 1):
                idle.put(stack.enter_context(nursery(seed)))
            yield cls(tally, idle, stack.enter_context(ThreadPoolExecutor(AT_ONCE)))

    def play(self, cases: Iterable[Case]) -> None:
        """Play all cases; `AssertionError` with everything that was broken."""
        waiting = iter(cases)
        turn = threading.Lock()

        def play_some() -> list[Verdict]:
            verdicts: list[Verdict] = []
            while True:
                with turn:
                    case = next(waiting, None)
                if case is None:
                    return verdicts
                verdicts.append(self._play(case))

        threads = [self._threads.submit(play_some) for _ in range(AT_ONCE)]
        verdicts = [verdict for thread in threads for verdict in thread.result()]
        broken = [line for verdict in verdicts for line in verdict.broken]
        self.tally.kills += sum(verdict.kills for verdict in verdicts)
        self.tally.violations += len(broken)
        if broken:
            message = "\n".join([f"{len(broken)} violations", *broken])
            raise AssertionError(message)

    def live(self, case: Case, moment: Moment) -> Ending:
        """One life in the next serving process that is idle."""
        lives = self._idle.get()
        try:
            return lives.live(case.folder, case.plans, moment)
        finally:
            self._idle.put(lives)

    def seconds_of_a_life(self, case: Case) -> float:
        """How long a life without a kill takes just now."""
        case.folder.mkdir()
        began = time.monotonic()
        self.live(case, Moment())
        return time.monotonic() - began

    def _play(self, case: Case) -> Verdict:
        case.folder.mkdir()
        history = [look(case.folder)]
        verdict = Verdict(0, [])
        for moment in case.moments:
            ending = self._check(case, moment, history, verdict)
            if not ending.killed and case.budget is not None:
                case.budget.give_back()
            if not ending.killed or verdict.broken:
                break
        else:
            ending = self._check(case, Moment(), history, verdict)
        if case.surely and not verdict.kills:
            verdict.broken.append(f"{case.folder}: was never killed")
        if not verdict.broken:
            broken = broken_at_the_end(history, ending, case.plans)
            verdict.broken += _located(case, "the end", broken)
        return verdict

    def _check(
        self,
        case: Case,
        moment: Moment,
        history: list[Evidence],
        verdict: Verdict,
    ) -> Ending:
        ending = self.live(case, moment)
        verdict.kills += ending.killed
        history.append(look(case.folder))
        broken = broken_between(history[-2], history[-1], ending)
        broken += broken_by_a_kill(history[-1], ending, case.plans)
        if ending.hung or not (ending.killed or ending.status == 0):
            log = (case.folder / "log").read_text(errors="replace")[-3000:]
            broken.append(f"ended with {ending.status} and {ending.lines[-3:]}\n{log}")
        verdict.broken += _located(case, moment, broken)
        return ending


def _located(case: Case, where: object, broken: list[str]) -> list[str]:
    return [f"{case.folder}, {where}: {line}" for line in broken]


def random_plan(rng: Random, groups: int) -> list[list[str]]:
    """Steps of every class, one by one and at once. One that raises is alone."""
    alone = sorted(STEPS)
    together = [name for name in alone if not name.endswith(RAISES)]
    return [
        rng.choices(together, k=rng.randint(2, 3)) if rng.random() < 1 / 3 else [rng.choice(alone)]
        for _ in range(groups)
    ]


def random_moments(rng: Random, budget: Budget, seconds: float, lines: int) -> Iterator[Moment]:
    """Moments for one chain until the budget is used up.

    Spread over a life of that many seconds and lines, the failpoints included. A first life surely
    says half as many lines.
    """
    if not budget.may_miss and budget.take():
        yield Moment(lines=rng.randint(0, lines // 2))
    while budget.take():
        match rng.choices(["seconds", "lines", "failpoint"], [4, 4, 1])[0]:
            case "seconds":
                yield Moment(seconds=rng.uniform(0, seconds))
            case "lines":
                yield Moment(lines=rng.randint(0, lines))
            case _:
                yield Moment(failpoint=f"{rng.choice(ON_THE_WAY)}:{rng.randint(1, lines)}")
