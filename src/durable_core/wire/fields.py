"""Canonical fields: the one unambiguous way in which values enter a hash.

```
field(x) = length as u32 big-endian | bytes          null = FF FF FF FF
integers are u64 big-endian · UUIDs 16 bytes · text UTF-8 · codes as integers · bools as 0 and 1
```
"""

from __future__ import annotations

from durable_core.contracts.cipher import NULL, field

__all__ = ["NULL", "field", "integer", "text"]


def integer(value: int | None) -> bytes:
    """The field of an integer from 0 to 2**64 - 1, or the null field."""
    return NULL if value is None else b"\x00\x00\x00\x08" + value.to_bytes(8, "big")


def text(value: str | None) -> bytes:
    """The field of a text, or the null field."""
    return NULL if value is None else field(value.encode())
