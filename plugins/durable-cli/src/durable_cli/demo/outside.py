"""The world outside the workflow: a ledger that keeps every effect, and a folder of invoices.

The ledger is one line of JSON for each effect, appended and synced before the step hears of it. It
refuses nothing: a charge that is made twice stands there twice.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from durable_core.errors import ConfigError

__all__ = ["FOLDER_VARIABLE", "LedgerTail", "Outside"]

FOLDER_VARIABLE: Final = "ORDER_DEMO_FOLDER"
"""The environment variable that tells the steps where the outside is."""


@frozen
class Outside:
    """The ledger and the invoices in one folder. Any number of threads and processes may write."""

    folder: Path

    @classmethod
    def here(cls) -> Outside:
        """The outside that the environment names; `ConfigError` where it names none."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if not folder:
            message = f"{FOLDER_VARIABLE} is not set: it names the folder of the ledger"
            raise ConfigError(message)
        return cls(Path(folder))

    @property
    def ledger(self) -> Path:
        """The file of the ledger."""
        return self.folder / "ledger.jsonl"

    def record(self, effect: str, order_id: str, key: str, **facts: object) -> None:
        """Let an effect happen: its line is on disk when this returns."""
        line = json.dumps({"effect": effect, "order": order_id, "key": key, **facts})
        file = os.open(self.ledger, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            # One write for the whole line, so that lines of several writers never mix.
            os.write(file, f"{line}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)

    def effects(self) -> list[dict[str, Any]]:
        """Everything that has happened, in order; `ConfigError` for a line that cannot be read."""
        if not self.ledger.exists():
            return []
        effects = []
        for number, line in enumerate(self.ledger.read_text(encoding="utf-8").splitlines(), 1):
            try:
                effect = json.loads(line)
                effects.append({**effect, "effect": effect["effect"], "order": effect["order"]})
            except (ValueError, KeyError, TypeError) as error:
                message = f"line {number} of {self.ledger} is no effect"
                raise ConfigError(message) from error
        return effects

    def happened(self, effect: str, key: str) -> bool:
        """Whether an effect with this idempotency key has happened."""
        return any(one["effect"] == effect and one["key"] == key for one in self.effects())

    def invoice(self, order_id: str) -> Path:
        """The file of an order's invoice."""
        return self.folder / "invoices" / f"{order_id}.txt"

    def write_invoice(self, order_id: str, text: str) -> None:
        """Put the invoice there, whole or not at all, however often this is called."""
        target = self.invoice(order_id)
        target.parent.mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)


class LedgerTail:
    """Counts the effects in a growing ledger; each look reads only what is new."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._offset = 0
        self._lines = 0

    def count(self) -> int:
        """How many effects have happened until now."""
        with suppress(FileNotFoundError), self._ledger.open("rb") as file:
            file.seek(self._offset)
            new = file.read()
            self._offset += len(new)
            self._lines += new.count(b"\n")
        return self._lines
