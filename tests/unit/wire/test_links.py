"""The details that tie an execution to its neighbours."""

from __future__ import annotations

import pytest

from durable_core.errors import DecodeError
from durable_core.wire.links import link_detail, linked_execution
from durable_core.wire.payload import dump


def test_a_link_is_read_as_it_was_written() -> None:
    assert linked_execution(link_detail(b"e" * 16)) == b"e" * 16
    assert link_detail(b"e" * 16) == b"\x81\x50" + b"e" * 16


def test_entries_of_older_journals_have_none() -> None:
    assert linked_execution(None) is None


@pytest.mark.parametrize(
    "detail", [b"", dump([]), dump([b"e" * 15]), dump(["e" * 16]), dump([b"e" * 16, 1])]
)
def test_any_other_detail_is_refused(detail: bytes) -> None:
    with pytest.raises(DecodeError):
        linked_execution(detail)
