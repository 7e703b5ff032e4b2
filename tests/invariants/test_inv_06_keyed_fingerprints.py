"""INV-6: without the key, nothing on disk confirms a guess of an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from durable_core import DurableConfig, DurableContext, DurableEngine, EffectClass, step, workflow
from durable_core.replay.detail import StepDetail, argument_digests
from durable_core.wire.call import join
from durable_core.wire.fingerprint import step_fingerprint
from durable_core.wire.keys import ExecutionKeys, Keyring
from durable_core.wire.payload import PayloadCodec
from tests.journals import MASTER, MASTERS, OTHER_MASTER, key_text, query_maps, sqlite_url

ACCOUNT = "DE89 3704 0044 0532 0130 00"


@step
async def charge(account: str, cents: int) -> str:
    return f"{account[:2]}:{cents}"


@workflow
async def checkout(ctx: DurableContext, account: str, cents: int) -> str:
    return await ctx.step(charge, account, cents)


async def journaled(path: Path, keys: str | None, cents: int = 1999) -> dict[str, Any]:
    """The entry of the one step that a checkout leaves in a new journal."""
    config = DurableConfig(encrypt_payload=keys is not None)
    async with DurableEngine.open(
        sqlite_url(path),
        workflows=[checkout],
        config=config,
        keys=keys,
    ) as engine:
        await engine.run(checkout, ACCOUNT, cents)
    (row,) = query_maps(path, "SELECT * FROM durable_journal WHERE entry_kind = 3")
    return dict(row)


def guess(keys: ExecutionKeys, cents: int = 1999) -> tuple[bytes, bytes]:
    """What somebody would compare: fingerprint and digests of arguments that were guessed."""
    codec = PayloadCodec(1 << 20)
    parts = [codec.encode(ACCOUNT, str), codec.encode(cents, int)]
    fingerprint = step_fingerprint(keys, "charge", EffectClass.AT_LEAST_ONCE, 0, join(parts))
    return fingerprint, argument_digests(keys, parts)


async def test_inv_06_only_the_key_confirms_a_guess(tmp_path: Path) -> None:
    row = await journaled(tmp_path / "a.db", key_text((1, MASTER)))
    stored = row["fingerprint"], StepDetail.decode(row["detail"]).digests
    assert guess(Keyring.derive(MASTERS).execution_keys(1)) == stored
    other = Keyring.derive(type(MASTERS)(1, {1: OTHER_MASTER})).execution_keys(1)
    unkeyed = Keyring.derive(None).execution_keys(None)
    for keys in (other, unkeyed):
        fingerprint, digests = guess(keys)
        assert fingerprint != stored[0]
        assert not set(pieces(digests)) & set(pieces(stored[1]))


def pieces(digests: bytes) -> list[bytes]:
    return [digests[at : at + 4] for at in range(0, len(digests), 4)]


async def test_inv_06_equal_arguments_look_equal_under_one_key_alone(tmp_path: Path) -> None:
    """The key is what a fingerprint hangs on, and nothing of the journal or the process is."""
    first = await journaled(tmp_path / "a.db", key_text((1, MASTER)))
    same = await journaled(tmp_path / "b.db", key_text((1, MASTER)))
    other = await journaled(tmp_path / "c.db", key_text((1, OTHER_MASTER)))
    amount = await journaled(tmp_path / "d.db", key_text((1, MASTER)), cents=2000)
    assert same["fingerprint"] == first["fingerprint"]
    assert same["detail"] == first["detail"]
    assert len({row["fingerprint"] for row in (first, other, amount)}) == 3
    assert len({row["detail"] for row in (first, other, amount)}) == 3


async def test_inv_06_the_fingerprints_of_an_execution_keep_its_key_for_life(
    tmp_path: Path,
) -> None:
    """A key that joins later changes no fingerprint of what was created before."""
    before = await journaled(tmp_path / "a.db", key_text((1, MASTER)))
    current_first = key_text((1, MASTER), (2, OTHER_MASTER))
    after = await journaled(tmp_path / "b.db", current_first)
    assert after["fingerprint"] == before["fingerprint"]
    rotated = await journaled(tmp_path / "c.db", key_text((2, OTHER_MASTER), (1, MASTER)))
    assert rotated["fingerprint"] != before["fingerprint"]


async def test_inv_06_without_any_key_everybody_can_test_a_guess(tmp_path: Path) -> None:
    """What going without a key costs, and the documents say so."""
    row = await journaled(tmp_path / "a.db", None)
    unkeyed = Keyring.derive(None).execution_keys(None)
    assert guess(unkeyed) == (row["fingerprint"], StepDetail.decode(row["detail"]).digests)


async def test_inv_06_no_argument_stands_in_the_columns_beside_the_payload(
    tmp_path: Path,
) -> None:
    row = await journaled(tmp_path / "a.db", key_text((1, MASTER)))
    for column, value in row.items():
        data = value if isinstance(value, bytes) else str(value).encode()
        assert ACCOUNT.encode() not in data, column
        assert ACCOUNT[5:12].encode() not in data, column
