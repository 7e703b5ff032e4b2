"""`durable resolve`: the answer to a promise, with no application running and beside one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from durable_core import DurableConfig, DurableContext, DurableEngine, DurablePromise, workflow
from durable_core.errors import ExecutionFailed
from durable_core.keysources import generate_key

if TYPE_CHECKING:
    from conftest import Durable, Ran

HANDED_OUT: list[DurablePromise[Any]] = []


@workflow(name="permit")
async def permit(ctx: DurableContext) -> Any:
    promise = await ctx.promise(Any, name="approval")
    HANDED_OUT.append(promise)
    return await ctx.await_promise(promise)


@frozen
class Asked:
    """A workflow that waits for a promise, in a journal that nobody has open."""

    path: Path
    key: str
    promise: DurablePromise[Any]

    @property
    def settings(self) -> dict[str, str]:
        """What stands in the environment of a command, the token with it."""
        token = self.promise.token.hex()
        return {
            "DURABLE_URL": f"sqlite:///{self.path}",
            "DURABLE_KEY": self.key,
            "DURABLE_PROMISE_TOKEN": token,
        }

    def resolved(self, durable: Durable, *arguments: str, **other: str) -> Ran:
        """Run the command on the promise; no output holds its token."""
        settings = self.settings | other
        ran = durable("resolve", str(self.promise.id), *arguments, **settings)
        assert self.promise.token.hex() not in ran.out + ran.err
        return ran

    async def end(self, key: str = "the one") -> Any:
        """What the workflow comes to when somebody runs it again."""
        async with opened(self.path, self.key) as engine:
            return await (await engine.get((permit, key))).result(20)


def opened(path: Path, key: str) -> Any:
    url, config = f"sqlite:///{path}", DurableConfig()
    return DurableEngine.open(url, workflows=[permit], config=config, keys=key)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    path, key = tmp_path / "asked.db", generate_key()

    async def ask() -> None:
        async with opened(path, key) as engine:
            await engine.start(permit, key="the one")
            while not HANDED_OUT:
                await engine.parts.backend.probe()

    HANDED_OUT.clear()
    asyncio.run(ask())
    return Asked(path, key, HANDED_OUT[0])


@pytest.mark.parametrize(
    "value", ['"granted"', "-7", "null", '{"by": "ann", "ok": [true, 1.5]}', "[]"]
)
def test_a_value_reaches_the_workflow(durable: Durable, asked: Asked, value: str) -> None:
    ran = asked.resolved(durable, value)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"promise {asked.promise.id} is resolved\n"
    assert asyncio.run(asked.end()) == json.loads(value)


def test_a_promise_is_rejected(durable: Durable, asked: Asked, canary: str) -> None:
    ran = asked.resolved(durable, "--reject", canary)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"promise {asked.promise.id} is rejected\n"
    with pytest.raises(ExecutionFailed) as caught:
        asyncio.run(asked.end())
    assert getattr(caught.value.__cause__, "message", None) == canary


@pytest.mark.parametrize(
    ("answer", "outcome"), [(["1"], "resolved"), (["--reject", "no"], "rejected")]
)
def test_resolving_in_json(durable: Durable, asked: Asked, answer: list[str], outcome: str) -> None:
    ran = asked.resolved(durable, *answer, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == {"promise_id": str(asked.promise.id), "outcome": outcome}


def test_inspect_says_how_to_answer(durable: Durable, asked: Asked) -> None:
    def commands() -> Any:
        (listed,) = json.loads(durable("list", "--json", **asked.settings).out)
        ran = durable("inspect", listed["execution_id"], "--json", **asked.settings)
        return json.loads(ran.out)["commands"]

    assert commands() == [f"durable resolve {asked.promise.id} VALUE"]
    assert asked.resolved(durable, "1").code == 0
    assert asyncio.run(asked.end()) == 1
    assert commands() == []


def test_a_value_is_read_from_stdin(durable: Durable, asked: Asked) -> None:
    arguments = ("resolve", str(asked.promise.id), "-")
    ran = durable.fed('{"secret": 1}\n', *arguments, **asked.settings)
    assert (ran.code, ran.err) == (0, "")
    assert asyncio.run(asked.end()) == {"secret": 1}


async def test_a_live_owner_takes_it(durable: Durable, asked: Asked) -> None:
    async with opened(asked.path, asked.key) as engine:
        handle = await engine.get((permit, "the one"))
        arguments = ("resolve", str(asked.promise.id), '"live"')
        ran = await asyncio.to_thread(durable.alone, *arguments, **asked.settings)
        assert (ran.code, ran.err) == (0, "")
        assert await handle.result(20) == "live"


def test_the_same_again_is_no_error_and_another_value_comes_too_late(
    durable: Durable, asked: Asked
) -> None:
    assert asked.resolved(durable, '"first"').code == 0
    assert asked.resolved(durable, '"first"').code == 0
    for late in (['"second"'], ["--reject", "no"]):
        asked.resolved(durable, *late).require_error("resolved already", "another value")
    assert asyncio.run(asked.end()) == "first"
    assert asked.resolved(durable, '"first"').code == 0
    asked.resolved(durable, '"second"').require_error("resolved already", "another value")


def test_an_ended_execution_waits_for_nothing(durable: Durable, asked: Asked) -> None:
    async def cancel() -> None:
        async with opened(asked.path, asked.key) as engine:
            await engine.cancel((await engine.get((permit, "the one"))).id)

    asyncio.run(cancel())
    asked.resolved(durable, "1").require_error("is cancelled", "nobody waits")


@pytest.mark.parametrize("unknown", ["01a20ca2-ca07-70a8-a1b4-ffe4c2bf266e", "nonsense"])
def test_ec_34_an_unknown_promise_is_refused(durable: Durable, asked: Asked, unknown: str) -> None:
    durable("resolve", unknown, "1", **asked.settings).require_error("promise")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("0" * 64, ["not the token", "the workflow that made the promise"]),
        ("0" * 62, ["DURABLE_PROMISE_TOKEN", "64 hexadecimal digits"]),
        ("canary-7f3a91", ["DURABLE_PROMISE_TOKEN", "64 hexadecimal digits"]),
        (" ", ["no token in DURABLE_PROMISE_TOKEN", "--token-file"]),
        ("", ["no token in DURABLE_PROMISE_TOKEN", "--token-file"]),
    ],
    ids=["wrong", "short", "no token", "blank", "empty"],
)
def test_ec_34_a_wrong_token_is_refused_also_when_resolved(
    durable: Durable, asked: Asked, token: str, words: list[str]
) -> None:
    for _ in range(2):
        ran = asked.resolved(durable, '"taken"', DURABLE_PROMISE_TOKEN=token)
        ran.require_error(*words)
        assert asked.resolved(durable, '"given"').code == 0
    assert asyncio.run(asked.end()) == "given"


def test_a_token_is_read_from_a_file_that_is_its_owners_alone(
    durable: Durable, asked: Asked, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(f"{asked.promise.token.hex().upper()}\n")
    arguments = ('"filed"', "--token-file", str(file))
    for mode in (0o640, 0o604, 0o660):
        file.chmod(mode)
        ran = asked.resolved(durable, *arguments, DURABLE_PROMISE_TOKEN="")
        ran.require_error("token file", "open to other users", "chmod 600")
    file.chmod(0o600)
    ran = asked.resolved(durable, *arguments, DURABLE_PROMISE_TOKEN="0" * 64)
    assert (ran.code, ran.err) == (0, "")
    assert asyncio.run(asked.end()) == "filed"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["token file", "cannot be read"]),
        (b"", ["no token in token file"]),
        (b"\xff" * 64, ["token file", "no text"]),
        (b"0" * 63, ["token file", "64 hexadecimal digits"]),
        (b"0" * 70_000, ["token file", "larger than"]),
    ],
    ids=["missing", "empty", "no text", "short", "large"],
)
def test_a_token_file_that_holds_no_token_is_refused(
    durable: Durable, asked: Asked, tmp_path: Path, content: bytes | None, words: list[str]
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    asked.resolved(durable, "1", "--token-file", str(file)).require_error(*words)


def test_resolving_needs_the_key(durable: Durable, asked: Asked) -> None:
    asked.resolved(durable, "1", DURABLE_KEY="").require_error("DURABLE_KEY")
    other = asked.resolved(durable, "1", DURABLE_KEY=generate_key())
    other.require_error("other key bytes")


def test_what_does_not_fit_is_refused(durable: Durable, asked: Asked, canary: str) -> None:
    ran = asked.resolved(durable, f'"{canary * 5000}"', DURABLE_MAX_PAYLOAD_BYTES="4096")
    ran.require_error("max_payload_bytes")
    asked.resolved(durable, "--reject", "no" * 501).require_error("at most 1000 characters")
    assert asked.resolved(durable, "1").code == 0


def test_the_answer_stays_sealed(durable: Durable, asked: Asked, canary: str) -> None:
    ran = asked.resolved(durable, f'"{canary}"')
    assert canary not in ran.out + ran.err
    assert asyncio.run(asked.end()) == canary
    beside = list(asked.path.parent.glob(f"{asked.path.name}*"))
    content = b"".join(file.read_bytes() for file in beside if file.is_file())
    assert content
    assert canary.encode() not in content
    assert asked.promise.token not in content
