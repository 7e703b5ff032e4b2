"""Promises, timers, children and signals are killed at every named point (EC-35, EC-37).

The owner is killed, or the one who files signals from outside. Each time all goes on to the one
legal end, and nothing that was journaled before the kill is there twice or has changed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

from durable_core.model.entries import EntryKind
from durable_core.wire.waits import Signal, Timer, fired_timer
from tests.crash import waits
from tests.crash.evidence import Entry, effects_of, entries_of
from tests.crash.killing import Ending, Moment, Nursery, nursery
from tests.crash.matrix import WHILE_WAITING, Tally
from tests.crash.waits import ANSWERS, CHILDREN, RESULT, SIGNALS, STEP, TIMERS

pytestmark = pytest.mark.dialects

BRIEFLY_S = 0.03
FOR_EVER_S = 3600.0
"""What a timer is asked for once it is armed: only its stored time comes in good time."""


@define
class Lives:
    """A process for the lives of owners, one for those outside, and a thread to await these."""

    owners: Nursery
    others: Nursery
    aside: ThreadPoolExecutor


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    program = Path(waits.__file__)
    with (
        nursery(11, program) as owners,
        nursery(12, program) as others,
        ThreadPoolExecutor(1) as aside,
    ):
        yield Lives(owners, others, aside)


@define
class Chain:
    """One execution over its lives, and those outside."""

    lives: Lives
    folder: Path
    url: str
    answered: bool = False
    filed: int = 0
    kills: int = 0
    tokens: set[tuple[str, ...]] = field(factory=set)
    entries: list[Entry] = field(factory=list)
    broken: list[str] = field(factory=list)

    def live(self, owner: str = "", other: str = "") -> Ending:
        """A life of the owner, and one outside as soon as the tokens are handed out.

        Each is killed at the failpoint that is named; the one outside goes on in another life.
        """
        armed = {Timer.decode(each.detail).timer_id for each in self.of(EntryKind.TIMER_ARMED)}
        naps = [FOR_EVER_S if timer in armed else BRIEFLY_S for timer in TIMERS]
        tokens: list[tuple[str, ...]] = []
        tasks: list[Future[None]] = []

        def heard(line: str) -> None:
            word, *rest = line.split(" ")
            if word == "token":
                tokens.append(tuple(rest))
            elif word == "handed" and not self.answered:
                task = {"execution": rest[0], "tokens": tokens}
                tasks.append(self.lives.aside.submit(self.answer, task, other))

        plans = {"url": self.url, "naps": naps}
        ending = self.lives.owners.live(self.folder, plans, Moment(failpoint=owner), heard)
        for done in tasks:
            done.result()
        self.tokens.update(tokens)
        self.check(ending)
        return ending

    def answer(self, task: dict[str, Any], failpoint: str) -> None:
        """What somebody outside does, who is killed when it has just filed a signal."""
        while True:
            plans = {"url": self.url, "outside": {**task, "first": self.filed}}
            ending = self.lives.others.live(self.folder, plans, Moment(failpoint=failpoint))
            self.filed += len(ending.said("filed")) + ending.killed
            self.note(ending)
            if not ending.killed:
                self.answered = True
                return
            failpoint = ""

    def check(self, ending: Ending) -> None:
        """What was journaled before a life is the beginning of what is journaled after it."""
        self.note(ending)
        before, self.entries = self.entries, entries_of(self.url)
        for lost in set(before) - set(self.entries):
            self.broken.append(f"lost or changed: {lost}")

    def note(self, ending: Ending) -> None:
        """Count a kill; any other end than a good one is a violation."""
        self.kills += ending.killed
        if ending.hung or not (ending.killed or ending.status == 0):
            log = (self.folder / "log").read_text(errors="replace")[-3000:]
            self.broken.append(f"ended with {ending.status} and {ending.lines[-3:]}\n{log}")

    def of(self, kind: EntryKind) -> list[Entry]:
        """The entries of a kind, in the order of the journal."""
        return [each for each in self.entries if each.kind is kind]

    def broken_at_the_end(self) -> list[str]:
        """Everything once: effects, tokens, resolutions, timers, children; signals in order."""
        broken = list(self.broken)
        calls = Counter((effect.name, effect.number) for effect in effects_of(self.folder))
        if calls != {(STEP, number): 1 for number in range(CHILDREN + 1)}:
            broken.append(f"the ledger says {calls}")
        if len(self.tokens) != len(ANSWERS):
            broken.append(f"{len(self.tokens)} promises and tokens were handed out")
        armed = [Timer.decode(each.detail).timer_id for each in self.of(EntryKind.TIMER_ARMED)]
        fired = [fired_timer(each.detail) for each in self.of(EntryKind.TIMER_FIRED)]
        if armed != list(TIMERS) or fired != armed:
            broken.append(f"armed were {armed}, fired {fired}")
        resolved = self.of(EntryKind.PROMISE_RESOLVED)
        signals = [signal for each in resolved if (signal := Signal.find(each.detail))]
        requests = [signal.request_id for signal in signals]
        if requests != sorted(set(requests)) or len(requests) != SIGNALS:
            broken.append(f"signals were journaled as {signals}")
        if len(resolved) - len(signals) != len(ANSWERS):
            broken.append(f"{len(resolved)} entries resolve promises and signals")
        started = self.of(EntryKind.EXECUTION_STARTED)
        if len(started) != CHILDREN + 1:
            broken.append(f"{len(started)} executions were started")
        return broken


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.files)])
@pytest.mark.parametrize("name", WHILE_WAITING)
def test_ec_35_ec_37_a_kill_while_it_waits_loses_and_repeats_nothing(
    name: str, count: int, lives: Lives, tally: Tally, url: str, tmp_path: Path
) -> None:
    chain = Chain(lives, tmp_path, url)
    where = f"{name}:{count}"
    outside = name == "engine.signal.filed"
    ending = chain.live(other=where) if outside else chain.live(owner=where)
    if not outside:
        assert ending.killed, f"{where} was not reached"
        ending = chain.live()
    tally.kills += chain.kills
    broken = chain.broken_at_the_end()
    tally.violations += len(broken)
    assert broken == []
    assert chain.kills == 1
    assert [json.loads(" ".join(words)) for words in ending.said("result")] == [RESULT]
