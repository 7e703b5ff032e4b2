"""Runs the worker and kills it with SIGKILL at random moments, until the work is done.

A moment is counted in effects: after so many new lines in the ledger the worker is killed, in the
time that the answer to the last one is under way. Everything ends by a deadline.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from attrs import frozen

from durable_cli.demo.orders import Order
from durable_cli.demo.outside import FOLDER_VARIABLE, LedgerTail
from durable_cli.demo.place import Place
from durable_cli.demo.secrecy import files_in_clear
from durable_core import DurableConfig
from durable_core.engine.inspection import open_journal
from durable_core.errors import DurableError
from durable_core.model.effects import EffectClass
from durable_core.model.entries import EntryKind
from durable_core.model.execution import Status

__all__ = ["Kill", "Supervisor", "Survey"]

_POLL_SECS: Final = 0.001
_EFFECTS_EACH: Final = 3
"""Charge, e-mail, warehouse: what each order writes into the ledger."""


@frozen
class Survey:
    """What the journal of a dead worker holds."""

    completed: int
    running: int
    steps: int
    """Steps of running executions whose result is journaled: replayed next time, not run."""

    in_doubt: int
    """Guarded steps of which nobody can tell from the journal alone whether they ran."""


@frozen
class Kill:
    """One kill: which one, after how many effects in all, and what it left behind."""

    number: int
    effects: int
    survey: Survey
    leaked: Sequence[str]
    """The journal files that held words of the orders in clear at that moment."""


@frozen
class Supervisor:
    """One run over a folder. `deadline` is a `time.monotonic()`."""

    place: Place
    key: str
    orders: Sequence[Order]
    kills: int
    chance: random.Random
    deadline: float

    def run(
        self,
        on_progress: Callable[[int], None],
        on_kill: Callable[[Kill], None],
    ) -> list[Kill]:
        """Work and kill until the work is done; the kills, fewer where it was done earlier.

        `DurableError` if a worker fails by itself, or at the deadline. No worker is left running.
        """
        done: list[Kill] = []
        ledger = LedgerTail(self.place.outside.ledger)
        while True:
            moment = self._moment(ledger.count(), len(done))
            if self._work_until(moment, ledger, on_progress):
                return done
            # Before the survey, whose last connection folds the write-ahead log into the file.
            leaked = files_in_clear(self.place, self.orders)
            survey = asyncio.run(survey_of(self.place, self.key))
            done.append(Kill(len(done) + 1, ledger.count(), survey, leaked))
            on_kill(done[-1])

    @property
    def effects(self) -> int:
        """How many effects the work takes when nothing goes wrong."""
        return _EFFECTS_EACH * len(self.orders)

    def _moment(self, before: int, killed: int) -> int | None:
        """The number of effects at which the next worker dies; None: it may live."""
        if killed >= self.kills:
            return None
        left = max(1, self.effects - before)
        # On average a like share for every life, this one and those after it.
        share = 2 * left // (self.kills - killed + 1)
        return before + self.chance.randint(1, max(1, min(share, left)))

    def _work_until(
        self,
        moment: int | None,
        ledger: LedgerTail,
        on_progress: Callable[[int], None],
    ) -> bool:
        """Whether a worker ended with its work done, and was not killed at `moment`."""
        with self.place.errors.open("ab") as errors:
            worker = subprocess.Popen(  # noqa: S603 - this very Python, and a module of ours
                [sys.executable, "-m", "durable_cli.demo.worker", str(self.place.folder)],
                env=self._environment(),
                cwd=self.place.folder,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        try:
            while worker.poll() is None:
                effects = ledger.count()
                on_progress(effects)
                if moment is not None and effects >= moment:
                    worker.kill()
                    worker.wait()
                    return False
                self._require_time()
                time.sleep(_POLL_SECS)
        finally:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        on_progress(ledger.count())
        if worker.returncode:
            raise self._failed(worker.returncode)
        return True

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("DURABLE_")
        }
        return kept | {"DURABLE_KEY": self.key, FOLDER_VARIABLE: str(self.place.folder)}

    def _require_time(self) -> None:
        if time.monotonic() > self.deadline:
            message = "the demonstration did not end in time; the machine may be busy: try again"
            raise DurableError(message)

    def _failed(self, code: int) -> DurableError:
        last = ""
        with suppress(OSError, IndexError):
            last = self.place.errors.read_text(errors="replace").splitlines()[-1]
        return DurableError(f"a worker ended by itself with code {code}: {last}")


async def survey_of(place: Place, key: str) -> Survey:
    """Look into the journal that a killed worker left behind; verifies what it reads."""
    completed = running = steps = in_doubt = 0
    async with open_journal(place.url, DurableConfig(), key) as journal:
        for seen in await journal.executions(limit=1_000_000):
            completed += seen.row.status == Status.COMPLETED.label
            if seen.row.status != Status.RUNNING.label:
                continue
            running += 1
            entries = await journal.entries(seen)
            results = {
                entry.row.step_id
                for entry in entries
                if entry.row.entry_kind == EntryKind.STEP_RESULT
            }
            steps += len(results)
            in_doubt += sum(
                entry.row.step_id not in results
                for entry in entries
                if entry.row.entry_kind == EntryKind.EFFECT_INTENT
                and entry.row.effect_class == EffectClass.EXACTLY_ONCE_GUARDED
            )
    return Survey(completed, running, steps, in_doubt)
