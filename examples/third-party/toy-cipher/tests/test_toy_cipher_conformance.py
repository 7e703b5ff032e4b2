"""The cipher passes the kit that durable-core publishes in `durable-core[conformance]`."""

from __future__ import annotations

import pytest
from toy_cipher.cipher import AesGcmSiv

from durable_core.conformance.cipher import CipherConformance
from durable_core.contracts import PayloadCipher


class TestToyCipher(CipherConformance):
    """AES-256-GCM-SIV."""

    @pytest.fixture
    def cipher(self) -> PayloadCipher:
        return AesGcmSiv()
