"""What an AEAD cipher must do. Core frames, guards and dispatches; a cipher seals and opens."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol, TypeAlias, runtime_checkable

from attrs import frozen

__all__ = [
    "AAD_VERSION",
    "FIRST_FOREIGN_FORMAT",
    "NULL",
    "BoundCipher",
    "Fields",
    "ManyOpens",
    "ManySeals",
    "PayloadAad",
    "PayloadCipher",
    "Seal",
    "aad_of",
    "encode_aad",
    "entry_fields",
    "field",
]

AAD_VERSION: Final = 1

FIRST_FOREIGN_FORMAT: Final = 0x80
"""Third-party ciphers own one format byte from here to 0xFF."""

NULL: Final = b"\xff\xff\xff\xff"
"""The field of what is not there."""

_VERSION: Final = b"\x00\x00\x00\x08" + AAD_VERSION.to_bytes(8, "big")
_PLACE: Final = struct.Struct(">I16sIQIQI")
_CODE: Final = struct.Struct(">IQ")
_DIGESTS: Final = struct.Struct(">I32sI32s")
_OF_A_STEP: Final = struct.Struct(">IQIQIQI32sI32sI")
_DIGEST: Final = 32

Fields: TypeAlias = tuple[bytes, bytes, bytes, bytes]
"""What `entry_fields` packs: the place of an entry, its digests, its effect and its detail."""


def entry_fields(
    execution_id: bytes,
    entry_no: int,
    generation: int,
    step_id: str,
    kind: int,
    fingerprint: bytes | None,
    idem_key: bytes | None,
    effect: int,
    detail: bytes | None,
) -> Fields:
    """`field()` of every argument, in four pieces that hashes and seals are put together from.

    ```
    execution_id entry_no generation step_id kind | fingerprint idem_key | effect | detail
    ```
    `field(x)` is the length as u32 big-endian and the bytes; null is the length FFFFFFFF.
    Integers are u64 big-endian, text is UTF-8.
    """
    # On the way of each append, and of each row that is read: so each piece is packed at once, and
    # for the associated data and the chain together.
    step = step_id.encode()
    if fingerprint and idem_key and len(fingerprint) == len(idem_key) == _DIGEST:
        digests = _DIGESTS.pack(_DIGEST, fingerprint, _DIGEST, idem_key)
    else:
        digests = field(fingerprint) + field(idem_key)
    return (
        _PLACE.pack(16, execution_id, 8, entry_no, 8, generation, len(step))
        + step
        + _CODE.pack(8, kind),
        digests,
        _CODE.pack(8, effect),
        field(detail),
    )


def aad_of(fields: Fields, payload_version: int) -> bytes:
    """Associated data v1, as `encode_aad` says, of what `entry_fields` packed."""
    place, digests, effect, detail = fields
    return b"".join(
        (_VERSION, place, effect, _CODE.pack(8, payload_version), digests, detail),
    )


def encode_aad(
    execution_id: bytes,
    entry_no: int,
    generation: int,
    step_id: str,
    kind: int,
    effect: int,
    payload_version: int,
    fingerprint: bytes | None,
    idem_key: bytes | None,
    detail: bytes | None,
) -> bytes:
    """Associated data v1: `field()` of version and every argument, in this order.

    `field(x)` is the length as u32 big-endian and the bytes; null is the length FFFFFFFF.
    Integers are u64 big-endian, text is UTF-8.
    """
    if (
        detail is None
        or not (fingerprint and idem_key)
        or not len(fingerprint) == len(idem_key) == _DIGEST
    ):
        place = (execution_id, entry_no, generation, step_id, kind)
        return aad_of(entry_fields(*place, fingerprint, idem_key, effect, detail), payload_version)
    # What most rows that are read are, in fewer pieces.
    step = step_id.encode()
    return b"".join(
        (
            _VERSION,
            _PLACE.pack(16, execution_id, 8, entry_no, 8, generation, len(step)),
            step,
            _OF_A_STEP.pack(
                8,
                kind,
                8,
                effect,
                8,
                payload_version,
                _DIGEST,
                fingerprint,
                _DIGEST,
                idem_key,
                len(detail),
            ),
            detail,
        ),
    )


def field(value: bytes | None) -> bytes:
    """`value` with its length in front as u32 big-endian, or the null field."""
    return NULL if value is None else len(value).to_bytes(4, "big") + value


@frozen
class PayloadAad:
    """Where a payload lives; bound to its blob, so that a blob that was moved does not open."""

    execution_id: bytes
    entry_no: int
    generation: int
    step_id: str
    kind: int
    effect: int
    payload_version: int
    fingerprint: bytes | None
    idem_key: bytes | None
    detail: bytes | None

    def encode(self) -> bytes:
        """Associated data v1 of this place, as `encode_aad` says."""
        return encode_aad(
            self.execution_id,
            self.entry_no,
            self.generation,
            self.step_id,
            self.kind,
            self.effect,
            self.payload_version,
            self.fingerprint,
            self.idem_key,
            self.detail,
        )


class BoundCipher(Protocol):
    """A cipher under one key. Safe to call from any thread."""

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt and authenticate under a nonce drawn freshly for this call (INV-7).

        Returns the body of a blob: everything after the format byte and the key id.
        """
        ...

    def open(self, body: bytes, aad: bytes) -> bytes:
        """The plaintext of `body`; `IntegrityError` if the body, the key or `aad` is not right.

        `DecodeError` for a body that is too short to be one. Nothing is returned in part.
        """
        ...


Seal: TypeAlias = Callable[[bytes, bytes], bytes]
"""`BoundCipher.seal`, or what does the same for one message alone."""


@runtime_checkable
class ManySeals(BoundCipher, Protocol):
    """A cipher that prepares many seals for less than they cost one by one. Optional."""

    def seals(self, count: int) -> Iterator[Seal]:
        """`count` seals, each for one message, with a nonce of its own that was drawn for it.

        What is not used is dropped. Nobody keeps one beyond the call in which he asked for it: a
        process that is forked in between would repeat its nonce.
        """
        ...


@runtime_checkable
class ManyOpens(BoundCipher, Protocol):
    """A cipher that opens many bodies for less than they cost one by one. Optional."""

    def open_each(self, sealed: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The plaintext of each body with its associated data, in order; raises as `open` does.

        All of them or none: whoever wants to know which one does not open asks `open`.
        """
        ...


class PayloadCipher(Protocol):
    """An AEAD with 256-bit keys, for an unbounded number of messages under one key."""

    @property
    def name(self) -> str:
        """The name that `cipher = "…"` selects."""
        ...

    @property
    def format_byte(self) -> int:
        """The first byte of every blob of this cipher; 0x80 to 0xFF for third parties."""
        ...

    @property
    def overhead(self) -> int:
        """How many bytes `seal` adds to a plaintext, constant."""
        ...

    def bind(self, key: bytes) -> BoundCipher:
        """The cipher under `key` (32 bytes). Work that depends on the key alone is done here."""
        ...
