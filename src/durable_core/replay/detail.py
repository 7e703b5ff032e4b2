"""What a step entry says of its step in clear: enough to explain a divergence, never a value.

```
detail = CBOR [name, digests, sub-class code, policy code]
digests = for each argument the first 4 bytes of the keyed hash of its encoding
```
The digests tell *which* argument positions differ (EC-18b). They are keyed like fingerprints, so
they say nothing about the values to somebody without the key (INV-6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import frozen

from durable_core.errors import DecodeError
from durable_core.model.effects import RECONCILE_CODE, EffectIntentSubClass, OnAmbiguous
from durable_core.wire.cbor import BYTES, head
from durable_core.wire.keys import ExecutionKeys
from durable_core.wire.payload import dump, load

__all__ = ["StepDetail", "argument_digests", "detail_frame", "detail_prefix", "encode_detail"]

_DIGEST: Final = 4
_LEGAL_POLICIES: Final = frozenset({0, RECONCILE_CODE, *OnAmbiguous})
_LEGAL_SUB_CLASSES: Final = frozenset({0, *EffectIntentSubClass})


def argument_digests(keys: ExecutionKeys, parts: Sequence[bytes]) -> bytes:
    """The digests of the encoded arguments, one after the other."""
    digests = b""
    for part in parts:
        digests += keys.fingerprint(part)[:_DIGEST]
    return digests


def detail_prefix(name: str) -> bytes:
    """The constant beginning of every detail of the step `name`."""
    return b"\x84" + dump(name)


def encode_detail(prefix: bytes, digests: bytes, sub_class: int, policy: int) -> bytes:
    """The detail of one call; codes are below 24, so each is one byte of CBOR."""
    return b"".join((prefix, head(BYTES, len(digests)), digests, bytes((sub_class, policy))))


def detail_frame(name: str, arguments: int, sub_class: int, policy: int) -> tuple[bytes, bytes]:
    """What stands in front of the digests, and behind them, in each detail of one step."""
    prefix = detail_prefix(name) + head(BYTES, arguments * _DIGEST)
    return prefix, bytes((sub_class, policy))


@frozen
class StepDetail:
    """A decoded detail."""

    name: str
    digests: bytes
    sub_class: int
    policy: int

    @classmethod
    def decode(cls, data: bytes | None) -> StepDetail:
        """`DecodeError` for anything that `encode_detail` does not write."""
        match load(data or b""):
            case [str() as name, bytes() as digests, int() as sub_class, int() as policy] if (
                len(digests) % _DIGEST == 0
                and sub_class in _LEGAL_SUB_CLASSES
                and policy in _LEGAL_POLICIES
                and encode_detail(detail_prefix(name), digests, sub_class, policy) == data
            ):
                return cls(name, digests, sub_class, policy)
            case _:
                message = "a step entry's detail does not follow the format"
                raise DecodeError(message)

    @classmethod
    def name_in(cls, data: bytes | None) -> str | None:
        """The step's name; None without a detail, which who writes without an engine may leave out.

        `DecodeError` as `decode` raises it.
        """
        return None if data is None else cls.decode(data).name

    def differing_positions(self, digests: bytes) -> list[int]:
        """The argument positions whose digest is not the one in `digests`."""
        count = max(len(self.digests), len(digests)) // _DIGEST
        return [
            position
            for position in range(count)
            if self.digests[position * _DIGEST : (position + 1) * _DIGEST]
            != digests[position * _DIGEST : (position + 1) * _DIGEST]
        ]
