"""What this package offers to durable-core: the cipher `xaes-256-gcm`."""

from __future__ import annotations

from durable_aead.xaes import Xaes256Gcm
from durable_core.contracts import PayloadCipher
from durable_core.hookspecs import Provided, hookimpl

__all__ = ["durable_ciphers"]


@hookimpl
def durable_ciphers() -> list[Provided[PayloadCipher]]:
    """The one cipher of this package; making it costs nothing and reads nothing."""
    return [Provided("xaes-256-gcm", Xaes256Gcm)]
