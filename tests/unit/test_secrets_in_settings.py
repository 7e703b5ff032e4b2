"""Keys and database passwords that are given in settings are shown by nothing (EC-27)."""

from __future__ import annotations

import pytest

from durable_core import (
    DurableConfig,
    DurableEngine,
)
from durable_core.errors import (
    ConfigError,
    DurableError,
)
from durable_core.keysources import TextKeys
from tests.engines import OpenEngine
from tests.journals import (
    MASTER,
    key_text,
)
from tests.leaks import CANARY, Evidence


async def test_ec_27_nothing_shows_of_a_key_that_does_not_fit(
    evidence: Evidence,
    open_engine: OpenEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = key_text((1, MASTER))
    wrong = [CANARY, f"1:{CANARY}", f"{right},{right}", right[:-1], f"300:{right[2:]}"]
    for text in wrong:
        with pytest.raises(ConfigError) as raised:
            async with open_engine(keys=text):
                pass
        evidence.error(raised.value)
        monkeypatch.setenv("DURABLE_KEY", text)
        with pytest.raises(ConfigError) as raised:
            async with open_engine(keys=None):
                pass
        evidence.error(raised.value)
    evidence.add("a source of keys", repr(TextKeys(right)))
    evidence.add("the keys of a source", repr(TextKeys(right).load()))


@pytest.mark.parametrize(
    "url",
    [
        f"postgres://shop:{CANARY}@db.example/orders",
        f"postgres://shop:{CANARY}@db.example:bad/orders",
        f"mysql://shop:{CANARY}@db.example/orders",
        f"shop:{CANARY}@db.example/orders",
    ],
)
async def test_ec_27_nothing_shows_of_a_password_in_a_url(evidence: Evidence, url: str) -> None:
    with pytest.raises(DurableError) as raised:
        async with DurableEngine.open(url, keys=key_text((1, MASTER)), config=DurableConfig()):
            pass
    evidence.error(raised.value)
    try:
        evidence.add("a configuration", repr(DurableConfig(url=url)))
    except ConfigError as error:
        evidence.error(error)
