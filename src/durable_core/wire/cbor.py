"""Plain data as CBOR (RFC 8949) in its core deterministic encoding (section 4.2.1), and back.

```
Decimal              tag 4    [exponent, coefficient]
 negative zero, ±∞,  tag 268  [exponent, |coefficient|, options]; options: 1 negative, 2 +∞,
 NaN                           3 -∞, 4 and 5 quiet NaN, 6 and 7 signalling NaN (odd: negative)
datetime             tag 0    RFC 3339 text, microseconds where there are any, UTC as "Z"
date                 tag 1004 RFC 3339 full-date text
UUID                 tag 37   16 bytes
set, frozenset       tag 258  array of its elements in the order of their encodings
int beyond 64 bits   tag 2, 3 shortest byte string
```
`cbor2` does the work; its `canonical` mode gives the shortest forms, but sorts keys by length
first (RFC 7049), so that maps and sets are sorted here. Every tag that is not in the table is
refused, and so are indefinite lengths and duplicate keys (INV-11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from io import BytesIO
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import cbor2

from durable_core.wire.plain import (
    ATOMS,
    MAX_DECIMAL_DIGITS,
    MAX_DECIMAL_EXPONENT,
    MAX_DEPTH,
    Refused,
    require_plain,
)

__all__ = ["array_head", "read_plain", "write_plain"]

_ARRAY: Final = 4
_MAP: Final = 5
_TAG: Final = 6
_DECIMAL: Final = 4
_SET: Final = 258
_EXTENDED_DECIMAL: Final = 268

_NEGATIVE: Final = 1
_INFINITE: Final = 2
_QUIET: Final = 4
_SIGNALLING: Final = 6

_LONGEST_WORD: Final = 8
_WIDEST_COEFFICIENT: Final = 10**MAX_DECIMAL_DIGITS

_FRAMES: Final = 3 * MAX_DEPTH
"""cbor2 counts tags as containers; this only bounds its recursion, `require_plain` is exact."""


def write_plain(value: object) -> bytes:
    """The one encoding of plain data; `Refused` for anything else."""
    if type(value) not in ATOMS:
        require_plain(value)
    try:
        return cbor2.dumps(value, canonical=True, encoders=_ENCODERS)
    except UnicodeEncodeError:
        # Not chained: that error holds the whole text.
        reason = "text holds a surrogate without its pair, which is no Unicode"
        raise Refused(reason) from None


def read_plain(data: bytes, depth: int = MAX_DEPTH) -> object:
    """The plain data in `data`; `Refused` unless it is one whole item within the bounds."""
    source = BytesIO(data)
    try:
        value: object = cbor2.load(
            source,
            tag_hook=_refuse_tag,
            semantic_decoders=_DECODERS,
            max_depth=_FRAMES,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except (cbor2.CBORError, ValueError, TypeError) as error:
        # Not chained: such an error may quote what it read.
        reason = f"the bytes are no CBOR of this format ({type(error).__name__})"
        raise Refused(reason) from None
    if source.tell() != len(data):
        reason = "bytes follow the encoded value"
        raise Refused(reason)
    if type(value) not in ATOMS:
        require_plain(value, depth)
    return value


def array_head(count: int) -> bytes:
    """The bytes in front of an array of `count` items."""
    return cbor2.dumps([None] * count)[:-count] if count else b"\x80"


def _sorted(items: Iterable[object]) -> list[bytes]:
    return sorted([_key(item) for item in items])


def _key(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True, encoders=_ENCODERS)


def _write_map(encoder: cbor2.CBOREncoder, mapping: dict[object, object]) -> None:
    encoder.encode_length(_MAP, len(mapping))
    pairs = [(_key(key), item) for key, item in mapping.items()]
    pairs.sort(key=itemgetter(0))
    for key, item in pairs:
        encoder.write(key)
        encoder.encode(item)


def _write_set(encoder: cbor2.CBOREncoder, items: set[object] | frozenset[object]) -> None:
    encoder.encode_length(_TAG, _SET)
    encoder.encode_length(_ARRAY, len(items))
    encoder.write(b"".join(_sorted(items)))


def _write_decimal(encoder: cbor2.CBOREncoder, value: Decimal) -> None:
    sign, digits, exponent = value.as_tuple()
    coefficient = int("".join(map(str, digits)) or "0")
    if isinstance(exponent, int) and (coefficient or not sign):
        encoder.encode_semantic(_DECIMAL, [exponent, -coefficient if sign else coefficient])
        return
    options = {"F": _INFINITE, "n": _QUIET, "N": _SIGNALLING}.get(str(exponent), 0) + sign
    if options < _QUIET and exponent == "F":
        coefficient = 0
    encoder.encode_semantic(
        _EXTENDED_DECIMAL,
        [exponent if isinstance(exponent, int) else 0, coefficient, options],
    )


def _write_datetime(encoder: cbor2.CBOREncoder, value: datetime) -> None:
    encoder.encode_semantic(0, _stamp(value))


def _stamp(value: datetime) -> str:
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _read_datetime(text: Any, _immutable: bool) -> datetime:
    value = datetime.fromisoformat(text)
    if _stamp(value) != text or value.tzinfo is None:
        raise _malformed()
    return value


def _read_date(text: Any, _immutable: bool) -> date:
    value = date.fromisoformat(text)
    if value.isoformat() != text:
        raise _malformed()
    return value


def _read_uuid(data: Any, _immutable: bool) -> UUID:
    return UUID(bytes=data)


def _read_positive(data: Any, _immutable: bool) -> int:
    if type(data) is not bytes or len(data) <= _LONGEST_WORD - (data[:1] != b"\x00") * 0:
        raise _malformed()
    return int.from_bytes(data, "big")


def _read_negative(data: Any, immutable: bool) -> int:
    return -1 - _read_positive(data, immutable)
