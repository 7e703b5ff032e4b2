"""The parameters of statements for many rows: all values in order, `bytes` as `bytearray`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from durable_core.contracts.exchange import HeadChange
from durable_core.model.entries import JournalRow
from durable_core.storage.binding import of_advances, of_entries, of_rows

ENTRY = JournalRow(
    b"e" * 16, 7, 1, "4.1", 3, b"f" * 32, b"i" * 32, 2, b"detail", b"payload", 1, b"m" * 32, 99
)
CHANGE = HeadChange(b"e" * 16, 5, "running", 6, "running", 1, 7, b"h" * 32, b"a" * 32, 99, None)


def entries() -> Iterable[Any]:
    """A whole one, one with nothing where that may be, and each with one column that is no value.

    Whether a column can hold what is given is for the database to say.
    """
    yield ENTRY
    yield ENTRY._replace(fingerprint=None, idem_key=None, detail=None, payload=None, hmac=None)
    for name in JournalRow._fields:
        wrong: dict[str, Any] = {name: 1.5}
        yield ENTRY._replace(**wrong)


def bound(values: Iterable[object]) -> list[object]:
    return [bytearray(value) if isinstance(value, bytes) else value for value in values]


def test_each_row_is_bound_column_by_column() -> None:
    rows = [(1, "a", b"bytes", None), (2, "b", b"", 2.5)]
    values = of_rows(rows)
    assert values == bound([*rows[0], *rows[1]])
    assert [type(value) for value in values[:3]] == [int, str, bytearray]
    assert of_rows([]) == of_entries([]) == of_advances([]) == []


@pytest.mark.parametrize("row", list(entries()))
def test_an_entry_is_bound_as_any_row(row: JournalRow) -> None:
    values = of_entries([ENTRY, row])
    assert values == bound([*ENTRY, *row])
    assert [type(value) for value in values] == [type(value) for value in of_rows([ENTRY, row])]


@pytest.mark.parametrize(
    "change", [CHANGE, CHANGE._replace(head_hmac=None, anchor_mac=None)], ids=["stamped", "plain"]
)
def test_an_advance_has_its_fence_and_what_is_new(change: HeadChange) -> None:
    values = of_advances([CHANGE, change])
    assert values[9:] == bound([*change[:4], *change[5:10]])
    assert not [value for value in values if isinstance(value, bytes)]
