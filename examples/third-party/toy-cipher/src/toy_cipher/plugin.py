"""What the entry point leads to: one hook."""

from __future__ import annotations

from durable_core.contracts import PayloadCipher
from durable_core.hookspecs import Provided, hookimpl
from toy_cipher.cipher import AesGcmSiv

__all__ = ["durable_ciphers"]


@hookimpl
def durable_ciphers() -> list[Provided[PayloadCipher]]:
    """The one cipher of this package."""
    return [Provided("aes-256-gcm-siv", AesGcmSiv)]
