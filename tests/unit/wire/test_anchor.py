"""The anchor: exact bytes, and that every column of an execution's own row counts."""

from __future__ import annotations

from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from durable_core.errors import IntegrityError
from durable_core.model.execution import ExecutionRow, Status
from durable_core.wire.chain import (
    AnchorPrefix,
    Macs,
    anchor_mac,
    check_anchor,
)
from durable_core.wire.fields import field, integer, text
from durable_core.wire.keys import Keyring
from tests.journals import MASTERS

MAC_KEY = Keyring.derive(MASTERS).execution_keys(1).mac_key or b""
MACS = Macs(MAC_KEY)


EXECUTION = ExecutionRow(
    execution_id=bytes(range(16)),
    workflow="checkout",
    execution_key="order-42",
    kind="workflow",
    status="running",
    generation=1,
    key_id=1,
    sealed=True,
    stamped=True,
    owner_id="owner-a",
    owner_epoch=3,
    entry_count=2,
    head_hmac=b"h" * 32,
    anchor_mac=None,
    created_at=1_700_000_000_000,
    updated_at=1_700_000_000_001,
    finalized_at=None,
)


UNSTAMPED = EXECUTION._replace(key_id=None, sealed=False, stamped=False, head_hmac=None)


def anchor_as_documented(row: ExecutionRow) -> bytes:
    codes = {"running": 1, "blocked": 2, "completed": 3, "failed": 4, "aborted": 5, "cancelled": 6}
    data = (
        b"anchor v1"
        + field(row.execution_id)
        + text(row.workflow)
        + text(row.kind)
        + text(row.execution_key)
        + integer(row.key_id)
        + integer(row.sealed)
        + integer(row.stamped)
        + integer(codes[row.status])
        + integer(row.generation)
        + integer(row.entry_count)
        + field(row.head_hmac)
    )
    return blake3(data, key=MAC_KEY).digest()


U64 = st.integers(0, 2**64 - 1)


BYTES = st.none() | st.binary(max_size=40)


EXECUTIONS = st.builds(
    ExecutionRow,
    execution_id=st.binary(min_size=16, max_size=16),
    workflow=st.text(max_size=20),
    execution_key=st.none() | st.text(max_size=20),
    kind=st.text(max_size=20),
    status=st.sampled_from([status.label for status in Status]),
    generation=U64,
    key_id=st.none() | st.integers(1, 255),
    sealed=st.booleans(),
    stamped=st.booleans(),
    owner_id=st.text(max_size=5),
    owner_epoch=U64,
    entry_count=U64,
    head_hmac=BYTES,
    anchor_mac=BYTES,
    created_at=U64,
    updated_at=U64,
    finalized_at=st.none() | U64,
)


@given(EXECUTIONS)
def test_an_anchor_is_what_the_format_says(row: ExecutionRow) -> None:
    assert anchor_mac(MACS, row) == anchor_as_documented(row)


def test_vectors_of_anchors() -> None:
    assert (
        anchor_mac(MACS, EXECUTION).hex()
        == "b58411cd77401b19a414e445843ddc92fce146c3eb0fca9adb9803147b6e9207"
    )
    empty = EXECUTION._replace(execution_key=None, entry_count=0, head_hmac=None)
    assert (
        anchor_mac(MACS, empty).hex()
        == "3bcb74c03e4d7be81c862f0b27550b785e38b4dea89c56dcde6436943c17e714"
    )


def test_a_prefix_gives_the_anchor_of_any_later_state() -> None:
    prefix = AnchorPrefix(MACS, EXECUTION)
    later = EXECUTION._replace(status="failed", generation=4, entry_count=9, head_hmac=b"H" * 32)
    assert prefix.mac(Status.FAILED, 4, 9, b"H" * 32) == anchor_mac(MACS, later)


def anchored(row: ExecutionRow) -> ExecutionRow:
    return row._replace(anchor_mac=anchor_mac(MACS, row))


OTHER_STATES: dict[str, Any] = {
    "execution_id": bytes(16),
    "workflow": "refund",
    "execution_key": "order-43",
    "kind": "dag_run",
    "status": "completed",
    "generation": 2,
    "key_id": 2,
    "sealed": False,
    "entry_count": 1,
    "head_hmac": b"H" * 32,
    "anchor_mac": b"a" * 32,
}


OUTSIDE_OF_THE_ANCHOR: dict[str, Any] = {
    "owner_id": "owner-b",
    "owner_epoch": 4,
    "created_at": 0,
    "updated_at": 0,
    "finalized_at": 7,
}


ALTERED = "does not match its anchor"


def test_an_execution_as_it_was_written_passes() -> None:
    check_anchor(MACS, anchored(EXECUTION))
    check_anchor(None, UNSTAMPED)


def test_every_column_of_an_execution_is_accounted_for() -> None:
    assert {*OTHER_STATES, *OUTSIDE_OF_THE_ANCHOR, "stamped"} == set(ExecutionRow._fields)


@pytest.mark.parametrize("column", sorted(OTHER_STATES))
def test_ec_26_an_execution_with_another_value_in_any_column_is_found(column: str) -> None:
    with pytest.raises(IntegrityError, match=ALTERED):
        check_anchor(MACS, anchored(EXECUTION)._replace(**{column: OTHER_STATES[column]}))


@pytest.mark.parametrize("column", ["execution_key", "head_hmac", "anchor_mac", "key_id"])
def test_ec_26_an_execution_with_a_null_for_a_value_is_found(column: str) -> None:
    nulled: dict[str, Any] = {column: None}
    with pytest.raises(IntegrityError, match=ALTERED):
        check_anchor(MACS, anchored(EXECUTION)._replace(**nulled))


@pytest.mark.parametrize("column", sorted(OUTSIDE_OF_THE_ANCHOR))
def test_a_change_of_owner_or_time_needs_no_new_anchor(column: str) -> None:
    changed = anchored(EXECUTION)._replace(**{column: OUTSIDE_OF_THE_ANCHOR[column]})
    check_anchor(MACS, changed)


@pytest.mark.parametrize(
    ("macs", "row"),
    [
        (MACS, UNSTAMPED),
        (MACS, anchored(EXECUTION._replace(stamped=False))),
        (None, anchored(EXECUTION)),
        (None, UNSTAMPED._replace(stamped=True)),
        (None, UNSTAMPED._replace(key_id=1)),
        (None, UNSTAMPED._replace(sealed=True)),
        (None, UNSTAMPED._replace(anchor_mac=b"a" * 32)),
        (None, UNSTAMPED._replace(head_hmac=b"h" * 32)),
    ],
    ids=[
        "unstamped-under-a-key",
        "marked-as-unstamped",
        "stamped-without-a-key",
        "marked-as-stamped",
        "unstamped-with-a-key-id",
        "sealed-and-unstamped",
        "unstamped-with-an-anchor",
        "unstamped-with-a-head",
    ],
)
def test_ec_24_marks_and_keys_that_contradict_each_other_are_found(
    macs: Macs | None,
    row: ExecutionRow,
) -> None:
    with pytest.raises(IntegrityError, match=ALTERED):
        check_anchor(macs, row)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("status", "paused"),
        ("status", "\udcff"),
        ("workflow", "\udcff"),
        ("execution_key", "\ud800"),
        ("generation", -1),
        ("entry_count", "two"),
        ("workflow", 7),
        ("head_hmac", 7),
        ("anchor_mac", "text"),
    ],
)
def test_ec_26_a_state_that_no_writer_produces_is_damage_and_no_crash(
    column: str, value: object
) -> None:
    broken: dict[str, Any] = {column: value}
    with pytest.raises(IntegrityError, match=ALTERED) as raised:
        check_anchor(MACS, anchored(EXECUTION)._replace(**broken))
    assert raised.value.__suppress_context__, "what the driver returned is not shown"


def test_ec_26_an_unknown_status_is_damage_without_stamps_too() -> None:
    bare = EXECUTION._replace(key_id=None, sealed=False, stamped=False, head_hmac=None)
    bare = bare._replace(anchor_mac=None)
    check_anchor(None, bare)
    with pytest.raises(IntegrityError, match=ALTERED):
        check_anchor(None, bare._replace(status="paused"))
