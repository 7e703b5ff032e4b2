"""One life of a worker of some engine: what it says, and what is done to its process."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from attrs import evolve, frozen

from bench.comparison.sides import Side
from bench.peers import Peer, running

__all__ = ["Life", "Stage"]

_PATIENCE_S: Final = 30.0
_ENDINGS: Final = ("result", "error")


@frozen
class Life:
    """A process of a side, with one execution; it is killed at the end of its block."""

    peer: Peer
    folder: Path
    worker: str

    async def says(self, *wanted: str, within: float = _PATIENCE_S) -> Sequence[str]:
        """Its next line that begins with one of these words.

        Empty where none comes in time; `gone` where the process ends instead.
        """
        assert self.peer.process.stdout is not None
        try:
            async with asyncio.timeout(within):
                while line := await self.peer.process.stdout.readline():
                    words: list[str] = json.loads(line)
                    if words[0] in wanted:
                        return words
        except TimeoutError:
            return ()
        return ("gone",)

    async def ends(self, within: float = _PATIENCE_S) -> Sequence[str]:
        """`result` or `error` with what belongs to it; empty where it does not end in time."""
        return await self.says(*_ENDINGS, within=within)

    async def reaches(self, step: str) -> None:
        """Return when it stays in the step; an error where it ends instead."""
        words = await self.says("reached", *_ENDINGS)
        assert [*words] == ["reached", step], f"{self.worker} did not come to {step}: {words}"

    def goes_on(self) -> None:
        """The step in which it stays returns."""
        (self.folder / f"{self.worker}-goes-on").touch()

    def stop(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self.peer.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self.peer.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """SIGKILL; it is dead at return."""
        if self.peer.process.returncode is None:
            self.peer.process.kill()
        await self.peer.process.wait()


@frozen
class Stage:
    """A side with a folder of its own, in which one execution has its lives."""

    side: Side
    folder: Path
    server: Sequence[str] = ()

    @classmethod
    @asynccontextmanager
    async def opened(cls, side: Side, folder: Path) -> AsyncIterator[Stage]:
        """A stage in a new folder, with all that the side needs."""
        stage = cls(side, folder)
        stage.store.mkdir(parents=True)
        async with side.serving(folder) as server:
            yield evolve(stage, server=server)

    @property
    def store(self) -> Path:
        """The folder of the engine's files."""
        return self.folder / "store"

    @asynccontextmanager
    async def life(self, worker: str, flow: str, **more: Any) -> AsyncIterator[Life]:
        """Begin a life of `worker`, which starts or resumes `flow`; see `World` for the rest."""
        about = {"folder": str(self.folder), "server": self.server, "worker": worker}
        request = json.dumps({**about, "flow": flow, "text": "order-1", **more})
        async with running(*self.side.command, request) as peer:
            life = Life(peer, self.folder, worker)
            try:
                yield life
            finally:
                await life.kill()

    def customer(self, name: str) -> None:
        """Who is read from outside from now on."""
        (self.folder / "customer").write_text(name)

    def ledger(self, effect: str) -> list[list[str]]:
        """The lines of an effect, in their order; the last word of each is the worker."""
        ledger = self.folder / "ledger"
        lines = ledger.read_text().splitlines() if ledger.exists() else []
        return [words for words in map(json.loads, lines) if words[0] == effect]
