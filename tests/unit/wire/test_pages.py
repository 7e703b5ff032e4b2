"""Pages: what they hold is opened together; what does not open is left to be asked for alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from durable_aead.xaes import BoundXaes
from durable_core.contracts import MasterKeys
from durable_core.errors import DurableError, IntegrityError, PayloadTooLarge
from durable_core.ids import NO_STEP, ExecutionId
from durable_core.model.entries import (
    Entry,
    ExecutionStarted,
    FoldedRow,
    JournalRow,
    OpenedRow,
    PromiseResolved,
)
from durable_core.wire.chain import GENESIS
from durable_core.wire.envelope import ExecutionEnvelope, WireFormat
from durable_core.wire.pages import open_page
from tests.ciphers import CountingCipher
from tests.envelopes import EXECUTION, NOW, execution, sealing
from tests.journals import MASTER, OTHER_MASTER, failure_of, intent_of, result_of, wire_format

COUNT = 5
AFTER_ROTATION = MasterKeys(2, {2: OTHER_MASTER, 1: MASTER})


def results(envelope: ExecutionEnvelope, count: int = COUNT) -> list[JournalRow]:
    return [
        envelope.row_of(result_of(EXECUTION, number, b"\x00%d" % number), number + 2, GENESIS, NOW)
        for number in range(count)
    ]


def payloads(envelope: ExecutionEnvelope, rows: Sequence[JournalRow]) -> list[bytes]:
    return [envelope.open(row) for row in rows]


@pytest.fixture(params=[True, False], ids=["one by one", "many at once"])
def wire(request: pytest.FixtureRequest) -> WireFormat:
    """With a cipher that opens bodies one by one, and with one that opens many."""
    return wire_format(cipher=CountingCipher()) if request.param else wire_format()


def test_results_are_opened_and_all_else_stays_as_it_is(wire: WireFormat) -> None:
    envelope = wire.envelope(execution())
    entries: list[Entry] = [
        ExecutionStarted(EXECUTION, 0, b"arguments"),
        intent_of(EXECUTION, 0),
        result_of(EXECUTION, 0, b"\x00value"),
        failure_of(EXECUTION, 1, b"error"),
        result_of(EXECUTION, 2, b"\x00other", generation=1),
    ]
    rows = [envelope.row_of(each, at + 1, GENESIS, NOW) for at, each in enumerate(entries)]
    opened = open_page(envelope, rows, 0)
    assert [type(row) for row in opened] == [JournalRow] * 2 + [OpenedRow] + [JournalRow] * 2
    assert opened[2] == rows[2]._replace(payload=b"\x00value")
    assert [*opened[:2], *opened[3:]] == [*rows[:2], *rows[3:]]
    assert envelope.open(opened[2]) == envelope.open(rows[2]) == b"\x00value"


def test_a_page_without_results_is_given_back() -> None:
    envelope = sealing()
    rows = [envelope.row_of(intent_of(EXECUTION, 0), 2, GENESIS, NOW)]
    assert open_page(envelope, rows, 0) is rows


def test_what_is_not_sealed_is_given_back() -> None:
    envelope = wire_format().envelope(execution(sealed=False))
    rows = results(envelope)
    assert open_page(envelope, rows, 0) is rows


def test_what_was_opened_with_a_checkpoint_is_not_opened_again() -> None:
    envelope = sealing()
    rows = [FoldedRow._make(row._replace(payload=b"\x00plain")) for row in results(envelope)]
    assert open_page(envelope, rows, 0) is rows


def test_ec_23_results_under_another_key_wait_until_they_are_asked_for() -> None:
    before = sealing()
    envelope = evolve(before, wire=wire_format(AFTER_ROTATION))
    rows = [*results(before, 2), *results(envelope, 2)]
    opened = open_page(envelope, rows, 0)
    assert [type(row) for row in opened] == [OpenedRow] * 2 + [JournalRow] * 2
    assert payloads(envelope, opened) == [b"\x000", b"\x001"] * 2


def test_ec_22_one_that_does_not_open_keeps_no_other_from_being_opened(wire: WireFormat) -> None:
    """Each is asked for by itself then, and only the one that was moved is refused."""
    envelope = wire.envelope(execution())
    rows = results(envelope)
    rows[2] = rows[2]._replace(payload=rows[3].payload)
    opened = open_page(envelope, rows, 0)
    assert opened is rows
    with pytest.raises(IntegrityError):
        envelope.open(opened[2])
    assert payloads(envelope, [*opened[:2], *opened[3:]]) == [b"\x00%d" % n for n in (0, 1, 3, 4)]


def test_what_a_cipher_opens_too_few_of_stays_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell then which is which."""
    envelope = sealing()
    rows = results(envelope)
    whole = BoundXaes.open_each
    monkeypatch.setattr(BoundXaes, "open_each", lambda *given: whole(*given)[1:])
    assert open_page(envelope, rows, 0) is rows
    assert payloads(envelope, rows) == [b"\x00%d" % n for n in range(COUNT)]


def test_a_result_of_nothing_stays_sealed() -> None:
    envelope = sealing()
    rows = [envelope.row_of(result_of(EXECUTION, 0, b""), 2, GENESIS, NOW)]
    assert open_page(envelope, rows, 0) == rows
    assert envelope.open(rows[0]) == b""


@pytest.mark.parametrize(("size", "kind"), [(4096 - 42, OpenedRow), (4096 - 41, JournalRow)])
def test_what_is_large_waits_until_it_is_asked_for(size: int, kind: type[JournalRow]) -> None:
    envelope, payload = sealing(), b"\x00" * size
    rows = [envelope.row_of(result_of(EXECUTION, 0, payload), 2, GENESIS, NOW)]
    (row,) = open_page(envelope, rows, 0)
    assert type(row) is kind
    assert envelope.open(row) == payload


def test_what_resolves_a_promise_is_opened_whatever_run_it_is_of() -> None:
    envelope = sealing()
    entry = PromiseResolved(EXECUTION, 0, NO_STEP, b"detail", b"outcome")
    row = envelope.row_of(entry, 2, GENESIS, NOW)
    (opened,) = open_page(envelope, [row], 7)
    assert opened == row._replace(payload=b"outcome")
    assert type(opened) is OpenedRow


def test_inv_11_a_payload_over_the_limit_reaches_no_cipher() -> None:
    cipher = CountingCipher()
    envelope = wire_format(cipher=cipher).envelope(execution())
    row = envelope.row_of(result_of(EXECUTION, 0, b"\x00" * 100), 2, GENESIS, NOW)
    strict = evolve(envelope, wire=wire_format(cipher=cipher, max_payload_bytes=50))
    assert open_page(strict, [row], 0) == [row]
    assert cipher.opened == []
    with pytest.raises(PayloadTooLarge):
        strict.open(row)
    assert cipher.opened == []


@pytest.mark.parametrize(
    "changed", [{"payload_version": 2}, {"payload": b"\x01"}, {"payload": None}, {"payload": b""}]
)
def test_what_is_no_sealed_blob_of_this_version_is_left(changed: dict[str, object]) -> None:
    envelope = sealing()
    row = results(envelope, 1)[0]._replace(**changed)  # type: ignore[arg-type] # what lies there
    assert open_page(envelope, [row], 0) == [row]
    with pytest.raises(DurableError):
        envelope.open(row)


def test_ec_22_a_result_of_another_execution_does_not_open_with_the_page() -> None:
    envelope = sealing()
    other = evolve(envelope, execution_id=ExecutionId(int=1).bytes)
    moved = results(other, 1)[0]._replace(execution_id=EXECUTION.bytes)
    assert open_page(envelope, [moved], 0) == [moved]
