"""NFR-11: a payload over the limit is refused before the cipher or the decoder is called."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from unittest import mock

import cbor2
from attrs import define, field

from bench.figures import Bar, Figure, Unit
from bench.journals import OpenJournal, opened, result, wire_format
from bench.rounds import Plan
from durable_aead.xaes import Xaes256Gcm
from durable_core.contracts import BoundCipher
from durable_core.errors import PayloadTooLarge
from durable_core.ids import ExecutionId
from durable_core.wire.payload import PayloadCodec, dump

__all__ = ["measure"]

_LIMIT: Final = 4096
_NONE: Final = Bar(0)


@define
class _CountedCipher:
    """The default cipher, with its calls counted."""

    calls: int = 0
    name: str = "xaes-256-gcm"
    format_byte: int = 0x01
    overhead: int = 40
    real: Xaes256Gcm = field(factory=Xaes256Gcm)

    def bind(self, key: bytes) -> BoundCipher:
        return _Counted(self, self.real.bind(key))


@define
class _Counted:
    book: _CountedCipher
    real: BoundCipher

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        self.book.calls += 1
        return self.real.seal(plaintext, aad)

    def open(self, body: bytes, aad: bytes) -> bytes:
        self.book.calls += 1
        return self.real.open(body, aad)


async def measure(plan: Plan) -> list[Figure]:
    """The calls of cipher and decoder for a payload of one byte over the limit."""
    with plan.fresh_path() as path:
        return await _measure(path)


async def _measure(path: Path) -> list[Figure]:
    over = result_payload(_LIMIT + 1)
    async with opened(path) as journal:
        (execution_id,) = await journal.begin(1)
        await journal.writer.append_acked(result(execution_id, 0, over))
    cipher = _CountedCipher()
    async with opened(path, wire_format(max_payload_bytes=_LIMIT, cipher=cipher)) as journal:
        await _within_limit(journal, cipher)
        written = await _refused_on_write(journal, cipher, over)
        read = await _refused_on_read(journal, cipher, execution_id)
    decoded = _refused_by_decoder()
    return [
        Figure("NFR-11", what, Unit.CALLS, calls, calls, bar=_NONE)
        for what, calls in (
            ("cipher, payload over the limit written", written),
            ("cipher, stored payload over the limit read", read),
            ("decoder, value over the limit read", decoded),
        )
    ]


def result_payload(size: int) -> bytes:
    """The payload of a result, of exactly `size` bytes: an outcome byte and a value."""
    frame = len(b"\x00" + dump(bytes(size))) - size
    return b"\x00" + dump(bytes(size - frame))


async def _within_limit(journal: OpenJournal, cipher: _CountedCipher) -> None:
    """The count counts: a payload of exactly the limit is sealed and opened."""
    (execution_id,) = await journal.begin(1)
    before = cipher.calls
    await journal.writer.append_acked(result(execution_id, 0, result_payload(_LIMIT)))
    (row,) = await journal.results([execution_id])
    envelope = (await journal.reader(execution_id)).envelope
    assert len(envelope.open(row)) == _LIMIT, "a payload within the limit did not come back"
    assert cipher.calls == before + 2, "the cipher is not counted"


async def _refused_on_write(journal: OpenJournal, cipher: _CountedCipher, over: bytes) -> int:
    (execution_id,) = await journal.begin(1)
    before = cipher.calls
    for append in (journal.writer.append_acked, journal.writer.append_buffered):
        try:
            outcome = append(result(execution_id, 0, over))
            if not isinstance(outcome, bool):
                await outcome
        except PayloadTooLarge:
            continue
        message = "a payload over the limit was accepted"
        raise AssertionError(message)
    return cipher.calls - before


async def _refused_on_read(
    journal: OpenJournal,
    cipher: _CountedCipher,
    execution_id: ExecutionId,
) -> int:
    (row,) = await journal.results([execution_id])
    envelope = (await journal.reader(execution_id)).envelope
    before = cipher.calls
    try:
        envelope.open(row)
    except PayloadTooLarge:
        return cipher.calls - before
    message = "a stored payload over the limit was opened"
    raise AssertionError(message)


def _refused_by_decoder() -> int:
    """Of lists, which the library decodes: a single text or bytes are read without it."""
    codec = PayloadCodec(_LIMIT)
    with mock.patch.object(cbor2, "loads", wraps=cbor2.loads) as decoder:
        assert codec.decode(dump(["within"]), list[str]) == ["within"]
        assert decoder.call_count == 1, "the decoder is not counted"
        try:
            codec.decode(dump([bytes(_LIMIT)]), list[bytes])
        except PayloadTooLarge:
            return decoder.call_count - 1
    message = "a value over the limit was decoded"
    raise AssertionError(message)
