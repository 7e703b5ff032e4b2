"""XAES-256-GCM: AES-256-GCM under a sub-key for each message, with 192-bit random nonces.

```
body      nonce (24) | ciphertext | tag (16)
sub-key   E(K, M1 ^ K1) | E(K, M2 ^ K1)      Mi = 00 0i 58 00 | nonce[0:12]
inner     AES-256-GCM(sub-key, nonce[12:24])
```
E is AES-256 on one block, and K1 the first sub-key of AES-CMAC (NIST SP 800-38B, section 6.1), so
the sub-key is the single-block CMAC in counter mode of NIST SP 800-108r1. The construction is
C2SP's: https://c2sp.org/XAES-256-GCM. Carries INV-7: each seal draws a nonce of its own, and 192
random bits collide with probability below 2^-32 after 2^80 messages under one key.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from typing import Final

from attrs import frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from durable_core.contracts import BoundCipher
from durable_core.contracts.cipher import Seal
from durable_core.errors import ConfigError, DecodeError, IntegrityError

__all__ = ["KEY_BYTES", "NONCE_BYTES", "OVERHEAD", "BoundXaes", "Xaes256Gcm"]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
OVERHEAD: Final = NONCE_BYTES + 16
"""What a body is longer than its plaintext: the nonce and the tag."""

_SALT_BYTES: Final = 12
_CMAC_POLYNOMIAL: Final = 0x87
_LEFT: Final = b"\x00\x01X\x00"
_RIGHT: Final = b"\x00\x02X\x00"


class _BlockEncryptor(threading.local):
    """AES-256 on whole blocks, one context for each thread that asks.

    A context of `cryptography` is a mutable object, and nothing promises that two threads may
    call the same one. ECB chains nothing, so a context can be used again for ever; keeping one
    saves four fifths of the derivation.
    """

    def __init__(self, key: bytes) -> None:
        # ECB serves as the bare block function of the derivation; no message is encrypted with it.
        encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305
        self.update = encryptor.update


class BoundXaes:
    """XAES-256-GCM under one key. Safe to call from any thread; never shows its key."""

    __slots__ = ("_blocks", "_left", "_mask", "_random", "_right")

    def __init__(self, key: bytes, random: Callable[[int], bytes]) -> None:
        self._blocks = _BlockEncryptor(key)
        self._random = random
        k1 = _cmac_subkey(self._blocks.update(bytes(16)))
        self._left = _xor(_LEFT, k1[:4])
        self._right = _xor(_RIGHT, k1[:4])
        self._mask = int.from_bytes(k1[4:], "big")

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """`nonce | ciphertext | tag`, 40 bytes longer than `plaintext`, under a fresh nonce."""
        nonce = self._random(NONCE_BYTES)
        return nonce + self._inner(nonce).encrypt(nonce[_SALT_BYTES:], plaintext, aad)

    def seals(self, count: int) -> Iterator[Seal]:
        """`count` times `seal`, each for one message: nonces are drawn and keys derived at once."""
        salts, nonces = self._random(_SALT_BYTES * count), self._random(_SALT_BYTES * count)
        return map(
            partial,
            repeat(_sealed),
            self._keys(salts, count),
            _cut(salts, _SALT_BYTES),
            _cut(nonces, _SALT_BYTES),
        )

    def open(self, body: bytes, aad: bytes) -> bytes:
        """The plaintext of `body`, whole or not at all.

        `DecodeError` for fewer than 40 bytes; `IntegrityError` where body, key and `aad` are not
        the ones that were sealed together.
        """
        if len(body) < OVERHEAD:
            raise _truncated(len(body))
        nonce = body[:NONCE_BYTES]
        try:
            return self._inner(nonce).decrypt(nonce[_SALT_BYTES:], body[NONCE_BYTES:], aad)
        except InvalidTag as error:
            raise _touched() from error

    def open_each(self, sealed: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """The plaintexts of bodies with their associated data; the keys are derived at once.

        Raises as `open` does, for the first that does not open.
        """
        for body, _ in sealed:
            if len(body) < OVERHEAD:
                raise _truncated(len(body))
        keys = self._keys(b"".join([body[:_SALT_BYTES] for body, _ in sealed]), len(sealed))
        try:
            return [
                AESGCM(key).decrypt(body[_SALT_BYTES:NONCE_BYTES], body[NONCE_BYTES:], aad)
                for key, (body, aad) in zip(keys, sealed, strict=True)
            ]
        except InvalidTag as error:
            raise _touched() from error

    def _keys(self, salts: bytes, count: int) -> tuple[bytes, ...]:
        """The inner keys of `count` messages, by the first halves of their nonces."""
        masks = int.from_bytes(self._mask.to_bytes(_SALT_BYTES, "big") * count, "big")
        masked = (int.from_bytes(salts, "big") ^ masks).to_bytes(_SALT_BYTES * count, "big")
        halves = (self._left, self._right, b"")  # the masked salt stands behind each
        blocks = [salt.join(halves) for salt in _cut(masked, _SALT_BYTES)]
        return _cut(self._blocks.update(b"".join(blocks)), KEY_BYTES)

    def _inner(self, nonce: bytes) -> AESGCM:
        salt = int.from_bytes(nonce[:_SALT_BYTES], "big") ^ self._mask
        masked = salt.to_bytes(_SALT_BYTES, "big")
        return AESGCM(self._blocks.update(self._left + masked + self._right + masked))


@frozen
class Xaes256Gcm:
    """The `PayloadCipher` named `xaes-256-gcm`, which owns format byte 0x01.

    `random` draws the nonces: the system's generator, which a forked child never repeats. Only a
    test with known nonces has a reason to give another one.
    """

    random: Callable[[int], bytes] = os.urandom

    @property
    def name(self) -> str:
        """`xaes-256-gcm`, the default of the setting `cipher`."""
        return "xaes-256-gcm"

    @property
    def format_byte(self) -> int:
        """0x01."""
        return 0x01

    @property
    def overhead(self) -> int:
        """40 bytes: nonce and tag."""
        return OVERHEAD

    def bind(self, key: bytes) -> BoundCipher:
        """The cipher under `key`; `ConfigError` unless it has 32 bytes."""
        if len(key) != KEY_BYTES:
            message = f"xaes-256-gcm needs a key of {KEY_BYTES} bytes and was given {len(key)}"
            raise ConfigError(message)
        return BoundXaes(key, self.random)


def _sealed(key: bytes, salt: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    return salt + nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def _truncated(size: int) -> DecodeError:
    return DecodeError(
        f"a sealed payload has {size} bytes, at least {OVERHEAD} are needed: it was truncated"
    )


def _touched() -> IntegrityError:
    return IntegrityError(
        "a sealed payload does not open: it was changed, moved from another place, or sealed "
        "under another key; run `durable verify` to find what was touched"
    )


def _cut(data: bytes, size: int) -> tuple[bytes, ...]:
    """`data` in pieces of `size` bytes."""
    return struct.unpack(f"{size}s" * (len(data) // size), data)


def _cmac_subkey(encrypted_zero: bytes) -> bytes:
    """K1 of AES-CMAC: the encryption of the zero block, doubled in GF(2^128)."""
    doubled = int.from_bytes(encrypted_zero, "big") << 1
    carry = doubled >> 128
    return (doubled & (1 << 128) - 1 ^ carry * _CMAC_POLYNOMIAL).to_bytes(16, "big")


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
