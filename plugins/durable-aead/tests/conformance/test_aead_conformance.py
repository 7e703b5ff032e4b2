"""XAES-256-GCM passes the kit of ciphers."""

from __future__ import annotations

import pytest

from durable_aead.xaes import Xaes256Gcm
from durable_core.conformance.cipher import CipherConformance
from durable_core.contracts import PayloadCipher


class TestXaes(CipherConformance):
    """The cipher of the house."""

    own_format = True

    @pytest.fixture
    def cipher(self) -> PayloadCipher:
        return Xaes256Gcm()
