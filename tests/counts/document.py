"""The numbers as spec/nfr.md shows them; as a script it prints them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from tests.counts.cases import Case
from tests.counts.numbers import KEPT, ON_SQLITE
from tests.counts.numbers_on_postgres import ON_POSTGRES
from tests.counts.runs import WHOLE

__all__ = ["document"]

WHAT: Final = {
    "commits": "transactions: frames that end one in the -wal; on Postgres, what left entries",
    "syncs": "what SQLite has the operating system make durable, one `fsync` or `fdatasync` each",
    "statements": "statements that the database runs, `BEGIN` and `COMMIT` included",
    "round trips": "questions to the server, each with its answer",
    "largest batch": "the statements of the longest transaction",
    "hops": "answers that a connection's thread hands back to the event loop: one for each job",
    "turns": "times that the event loop looks for what is to be done next",
    "tasks": "asyncio's tasks, however they are made",
    "seals": "payloads that the cipher seals",
    "opens": "payloads that the cipher opens",
    "decodings": "encodings that become values",
    "row hashes": "BLAKE3 digests of journal rows and of their payloads",
    "anchor hashes": "BLAKE3 digests of executions' states",
    "fingerprint hashes": "BLAKE3 digests of steps and of single arguments",
    "idempotency hashes": "BLAKE3 digests that are idempotency keys",
    "objects": "objects that a constructor of ours makes, on the event loop's thread",
    "calls": "calls of functions of ours there, and resumptions of those that waited",
    "objects kept": "objects that hold others and are more than before, weak references apart",
}
"""What is counted, in the order of the tables."""


def table(cases: Sequence[Case]) -> str:
    """The numbers as a table of Markdown: a line for each case, with the run that shows it."""
    named = {number.what for case in cases for number in case.numbers}
    whats = [what for what in WHAT if what in named]
    lines = [["case", "run", *whats], ["---"] * (len(whats) + 2)]
    for case in cases:
        numbers = {number.what: str(number) for number in case.numbers}
        counts = (numbers.get(what, "" if what in WHOLE else "0") for what in whats)
        lines.append([case.name, f"`{case.run}`", *counts])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def document() -> str:
    """The part of spec/nfr.md that speaks of these numbers."""
    meanings = "".join(f"| {what} | {meaning} |\n" for what, meaning in WHAT.items())
    return "\n".join(
        (
            f"| what | is the number of |\n| --- | --- |\n{meanings}",
            "By `tests/counts/test_on_sqlite.py`:\n",
            table(ON_SQLITE),
            "By `tests/counts/test_on_postgres.py`, without what the owner's session asks:\n",
            table(ON_POSTGRES),
            "By `tests/counts/test_what_stays.py`, while the workflow goes on:\n",
            table(KEPT),
        )
    )


if __name__ == "__main__":
    sys.stdout.write(document())
