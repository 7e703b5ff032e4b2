"""What the package offers by its entry point."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from durable_aead import plugin
from durable_aead.xaes import Xaes256Gcm
from durable_core.hookspecs import CONTRACT_VERSION


def test_it_offers_one_cipher_under_the_name_that_the_cipher_has() -> None:
    (offer,) = plugin.durable_ciphers()
    cipher = offer.factory()
    assert isinstance(cipher, Xaes256Gcm)
    assert offer.name == cipher.name
    assert offer.contract == CONTRACT_VERSION


@pytest.mark.entrypoints
def test_the_entry_point_leads_to_the_plugin() -> None:
    (entry,) = entry_points(group="durable_core.plugins", name="aead")
    assert entry.load() is plugin
