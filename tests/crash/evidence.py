"""What a killed process left behind: its ledger, and its journal as the bare rows say it.

The rows are read by SQL from a copy of the files, so that the next life finds the journal as the
kill left it, and so that none of the code under test stands between the rows and the checks.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from attrs import frozen

from durable_core.model.entries import EntryKind
from tests.dialects import query

__all__ = ["Effect", "Entry", "Evidence", "Execution", "effects_of", "entries_of", "look"]

CLOSING: Final = frozenset({EntryKind.STEP_RESULT, EntryKind.STEP_FAILED})


class Effect(NamedTuple):
    """One line of the ledger, so one call of a step's function."""

    name: str
    key: str
    execution: str
    number: int

    @property
    def kind(self) -> str:
        """The class or policy of the step."""
        return self.name.split(".")[0]


@frozen
class Execution:
    """One execution's row, and its journal rows by `entry_no`."""

    id: str
    key: str
    status: str
    generation: int
    count: int
    entries: Sequence[tuple[int, str, EntryKind, str | None]]
    """Entry number, step id, kind, idempotency key."""

    def last(self, step: int) -> EntryKind | None:
        """The kind of the last entry of a step; None where it has none."""
        kinds = [kind for _, place, kind, _ in self.entries if place == str(step)]
        return kinds[-1] if kinds else None

    def closed(self, step: int) -> bool:
        """Whether the outcome of a step is journaled."""
        return self.last(step) in CLOSING


class Entry(NamedTuple):
    """One journal row, without its payload."""

    execution: str
    number: int
    step: str
    kind: EntryKind
    detail: bytes
    hmac: bytes


@frozen
class Evidence:
    """The ledger and the journal at one moment."""

    effects: Sequence[Effect]
    executions: Mapping[str, Execution]

    @property
    def calls(self) -> Counter[Effect]:
        """How often each step's function was called."""
        return Counter(self.effects)

    def keyed(self, key: str) -> Execution | None:
        """The execution that was started with this key."""
        found = [each for each in self.executions.values() if each.key == key]
        return found[0] if found else None


def look(folder: Path, url: str = "sqlite:///journal.db") -> Evidence:
    """What is in a folder in which no process lives any more, and in its journal.

    A server at `url` is asked, which may commit yet what it was sent.
    """
    executions = _of_files(folder) if url.startswith("sqlite:") else _of_server(url)
    return Evidence(effects_of(folder), executions)


def effects_of(folder: Path) -> list[Effect]:
    """The ledger in a folder."""
    ledger = folder / "ledger"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    return [_effect(line) for line in lines]


def entries_of(url: str) -> list[Entry]:
    """Every entry of a journal of whichever dialect, by execution and number."""
    rows = query(
        url,
        "SELECT execution_id, entry_no, step_id, entry_kind, detail, hmac FROM durable_journal "
        "ORDER BY execution_id, entry_no",
    )
    return [
        Entry(str(uuid.UUID(bytes=bytes(execution_id))), number, step, EntryKind(kind), *stamps)
        for execution_id, number, step, kind, *stamps in rows
    ]


def _effect(line: str) -> Effect:
    name, key, execution, number = line.split(" ")
    return Effect(name, key, execution, int(number))


def _of_files(folder: Path) -> dict[str, Execution]:
    with tempfile.TemporaryDirectory() as copy:
        for name in ("journal.db", "journal.db-wal"):
            if (folder / name).exists():
                shutil.copy(folder / name, copy)
        with closing(sqlite3.connect(Path(copy) / "journal.db")) as connection:
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            return _executions(lambda text: connection.execute(text).fetchall()) if tables else {}


def _of_server(url: str) -> dict[str, Execution]:
    ((tables,),) = query(url, "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()")
    return _executions(partial(query, url)) if tables else {}


def _executions(ask: Callable[[str], Sequence[tuple[Any, ...]]]) -> dict[str, Execution]:
    entries: dict[bytes, list[tuple[int, str, EntryKind, str | None]]] = {}
    for execution_id, number, step_id, kind, key in ask(
        "SELECT execution_id, entry_no, step_id, entry_kind, idem_key FROM durable_journal "
        "ORDER BY execution_id, entry_no"
    ):
        entry = (number, step_id, EntryKind(kind), key.hex() if key else None)
        entries.setdefault(execution_id, []).append(entry)
    rows = [
        *ask(
            "SELECT execution_id, execution_key, status, generation, entry_count "
            "FROM durable_executions"
        )
    ]
    lost = entries.keys() - {row[0] for row in rows}
    rows += [(execution_id, "", "gone", 0, 0) for execution_id in lost]
    executions = [
        Execution(
            str(uuid.UUID(bytes=execution_id)),
            key,
            status,
            generation,
            count,
            entries.get(execution_id, []),
        )
        for execution_id, key, status, generation, count in rows
    ]
    return {execution.id: execution for execution in executions}
