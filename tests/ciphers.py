"""Payload ciphers for tests: one that counts what it is asked to do, and one that fails."""

from __future__ import annotations

from attrs import define, field

from durable_aead.xaes import Xaes256Gcm
from durable_core.contracts import BoundCipher, PayloadCipher
from durable_core.hookspecs import Provided, hookimpl


@define
class CountingCipher:
    """Delegates everything and remembers the calls, so that a test can say that none was made."""

    inner: PayloadCipher = field(factory=Xaes256Gcm)
    name: str = "xaes-256-gcm"
    format_byte: int = 0x01
    binds: int = 0
    sealed: list[tuple[bytes, bytes]] = field(factory=list)
    """Plaintext and associated data of each seal."""

    opened: list[tuple[bytes, bytes]] = field(factory=list)
    """Body and associated data of each attempt to open."""

    @property
    def overhead(self) -> int:
        """That of the real cipher."""
        return self.inner.overhead

    def bind(self, key: bytes) -> BoundCipher:
        """The real cipher under `key`, with its calls counted here."""
        self.binds += 1
        return _Counting(self, self.inner.bind(key))


@define
class _Counting:
    book: CountingCipher
    inner: BoundCipher

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        self.book.sealed.append((plaintext, aad))
        return self.inner.seal(plaintext, aad)

    def open(self, body: bytes, aad: bytes) -> bytes:
        self.book.opened.append((body, aad))
        return self.inner.open(body, aad)


class CountedCipherPlugin:
    """A plugin that offers the real cipher as one of a third party, counted."""

    def __init__(self) -> None:
        self.cipher = CountingCipher(name="counting", format_byte=0x80)

    @hookimpl
    def durable_ciphers(self) -> list[Provided[CountingCipher]]:
        return [Provided("counting", lambda: self.cipher)]


class CipherDefect(Exception):
    """What a foreign cipher raises; it shows what it was to seal, as such errors do."""


@define
class DefectiveCipher:
    """A foreign cipher that cannot seal `refused`; everything else goes to the real one."""

    refused: bytes
    inner: PayloadCipher = field(factory=Xaes256Gcm)
    name: str = "defective"
    format_byte: int = 0x80

    @property
    def overhead(self) -> int:
        """That of the real cipher."""
        return self.inner.overhead

    def bind(self, key: bytes) -> BoundCipher:
        """The real cipher under `key`, with the defect in front of it."""
        return _Defective(self.refused, self.inner.bind(key))


@define
class _Defective:
    refused: bytes
    inner: BoundCipher

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        if plaintext == self.refused:
            raise CipherDefect(plaintext)
        return self.inner.seal(plaintext, aad)

    def open(self, body: bytes, aad: bytes) -> bytes:
        return self.inner.open(body, aad)
