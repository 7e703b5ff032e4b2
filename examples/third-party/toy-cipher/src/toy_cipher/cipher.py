"""AES-256-GCM-SIV (RFC 8452) as a payload cipher.

```
body  nonce (12) | ciphertext | tag (16)
```
"""

from __future__ import annotations

import os
from typing import Final

from attrs import frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from durable_core.contracts import BoundCipher
from durable_core.errors import ConfigError, DecodeError, IntegrityError

__all__ = ["AesGcmSiv", "BoundAesGcmSiv"]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_OVERHEAD: Final = _NONCE_BYTES + 16


class BoundAesGcmSiv:
    """The cipher under one key. Safe to call from any thread."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCMSIV(key)

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """`nonce | ciphertext | tag` under a nonce drawn for this call."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, aad)

    def open(self, body: bytes, aad: bytes) -> bytes:
        """The plaintext; `DecodeError` for a body that is too short, else `IntegrityError`."""
        if len(body) < _OVERHEAD:
            message = f"a sealed payload has {len(body)} bytes, at least {_OVERHEAD} are needed"
            raise DecodeError(message)
        try:
            return self._aead.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], aad)
        except InvalidTag as error:
            message = "a sealed payload does not open: it, its place or its key is another one"
            raise IntegrityError(message) from error


@frozen
class AesGcmSiv:
    """The `PayloadCipher` named `aes-256-gcm-siv`, which owns format byte 0x80."""

    @property
    def name(self) -> str:
        """`aes-256-gcm-siv`."""
        return "aes-256-gcm-siv"

    @property
    def format_byte(self) -> int:
        """0x80, the first of those that third parties may have."""
        return 0x80

    @property
    def overhead(self) -> int:
        """28 bytes: nonce and tag."""
        return _OVERHEAD

    def bind(self, key: bytes) -> BoundCipher:
        """The cipher under `key`; `ConfigError` unless it has 32 bytes."""
        if len(key) != _KEY_BYTES:
            message = f"aes-256-gcm-siv needs a key of {_KEY_BYTES} bytes, not of {len(key)}"
            raise ConfigError(message)
        return BoundAesGcmSiv(key)
