"""The parent's side: lives that are begun, watched line by line, and killed with SIGKILL."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from attrs import frozen

__all__ = ["Ending", "Moment", "Nursery", "nursery"]

PROGRAM: Final = Path(__file__).with_name("program.py")
LONGEST_BIRTH_S: Final = 240.0
LONGEST_LIFE_S: Final = 120.0
"""Both take less than a second: what takes so long hangs, on any machine."""


@frozen
class Moment:
    """When to kill: at a failpoint, after that many lines, or that many seconds; or never.

    A life that reaches the failpoint, or says so many lines, is killed for sure: it goes on while
    the kill is on its way, but not to its next line. After some seconds it may have ended.
    """

    failpoint: str = ""
    lines: int | None = None
    seconds: float | None = None


@frozen
class Ending:
    """What a life said, and its exit status; negative: the signal that ended it."""

    lines: Sequence[str]
    status: int
    hung: bool = False

    @property
    def killed(self) -> bool:
        """At its moment: one that hung was killed as well, and proves nothing."""
        return self.status == -signal.SIGKILL and not self.hung

    def said(self, word: str) -> list[list[str]]:
        """The further words of every line that begins with `word`."""
        return [line.split(" ")[1:] for line in self.lines if line.split(" ")[0] == word]


class Nursery:
    """One serving process, from which lives are forked one after the other; see `nursery`.

    Not to be shared by threads.
    """

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._read = b""

    def begin(self) -> None:
        """Return when the program is ready for the first life."""
        self._expect("ready", time.monotonic() + LONGEST_BIRTH_S)

    def live(
        self,
        folder: Path,
        plans: Mapping[str, Any],
        moment: Moment,
        heard: Callable[[str], object] = str,
    ) -> Ending:
        """Run one life until it ends or is killed at `moment`; its process is dead at return.

        `heard` is called with each line when it comes.
        """
        request = {
            "folder": str(folder),
            "plans": plans,
            "failpoint": moment.failpoint,
            "lines": moment.lines,
        }
        self._requests.write(json.dumps(request).encode() + b"\n")
        self._requests.flush()
        limit = time.monotonic() + LONGEST_LIFE_S
        pid = int(self._expect("pid", limit))
        lines: list[str] = []
        hung = False
        until = limit if moment.seconds is None else time.monotonic() + moment.seconds
        while True:
            last = len(lines) == moment.lines
            line = None if last else self._line(until)
            if line is None:
                hung = hung or (not last and until == limit)
                os.kill(pid, signal.SIGKILL)
                moment, until = Moment(), time.monotonic() + LONGEST_LIFE_S
            elif line.startswith("ended "):
                return Ending(lines, int(line.removeprefix("ended ")), hung)
            else:
                lines.append(line)
                heard(line)

    def _expect(self, word: str, until: float) -> str:
        line = self._line(until) or "nothing"
        if not line.startswith(word):
            message = f"the program of the crash tests says {line!r} and not {word!r}"
            raise RuntimeError(message)
        return line.removeprefix(word)

    def _line(self, until: float) -> str | None:
        """The next line, or None when its time is over."""
        while b"\n" not in self._read:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                return None
            data = os.read(self._answers.fileno(), 65536)
            if not data:
                message = "the program of the crash tests has ended"
                raise RuntimeError(message)
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()


@contextmanager
def nursery(seed: int, program: Path = PROGRAM) -> Iterator[Nursery]:
    """A process that serves lives of `program`. Each has a hash seed of its own.

    So a life does not find sets and dictionaries in the order in which the one before had them.
    """
    clean = {name: text for name, text in os.environ.items() if not name.startswith("DURABLE_")}
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(program)],
        env={**clean, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(PROGRAM.parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lives = Nursery(process.stdin, process.stdout)
        lives.begin()
        yield lives
