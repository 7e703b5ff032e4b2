"""A human approval: a purchase waits for a manager's word, across kills and days.

    export DURABLE_KEY=$(durable keygen)
    python approval.py run chair 19900          # mails the manager a token, and waits
    python approval.py approve PROMISE mail/chair.token ann     # from another terminal
    python approval.py reject PROMISE mail/chair.token "too dear"

`run` says which promise. It may be killed and started again at any moment: the mail is not sent
twice, and the word that was given meanwhile counts. docs/promises.md explains it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from durable_core import (
    DID_NOT_HAPPEN,
    DurableContext,
    DurableEngine,
    DurableHandle,
    EffectClass,
    EffectIntentSubClass,
    reconcile,
    step,
    workflow,
)
from durable_core.errors import DurableError, StepFailed

URL: Final = "sqlite:///approval.durable.db"
MAIL: Final = Path("mail")


def mail_to_manager(item: str) -> Path:
    """Where the mail about an item lies; a real one would lie in the manager's inbox."""
    return MAIL / f"{item}.token"


def was_mailed(_key: bytes, item: str, _cents: int, _promise: str, _token: bytes) -> object:
    """Asked after a kill in the middle of `mail`: the mail that is there, or that there is none."""
    path = mail_to_manager(item)
    return str(path) if path.exists() else DID_NOT_HAPPEN


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.SECURITY_RELEVANT,
    on_ambiguous=reconcile(was_mailed),
)
def mail(item: str, cents: int, promise: str, token: bytes) -> str:
    """Hand out the token: whoever reads this mail may decide, once, and nobody else."""
    path = mail_to_manager(item)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    unsent = path.with_suffix(".unsent")
    with os.fdopen(os.open(unsent, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(token.hex())
    unsent.replace(path)
    print(f"may {item} be bought for {cents} cents? promise {promise}, token in {path}", flush=True)
    return str(path)


@step(effect=EffectClass.IDEMPOTENT)
async def order(item: str, approved_by: str) -> str:
    """Order what was approved."""
    return f"{item} is ordered, approved by {approved_by}"


@workflow
async def purchase(ctx: DurableContext, item: str, cents: int, patience: float) -> str:
    """Ask, wait for `patience` seconds at most, and act on the word."""
    promise = await ctx.promise(str, name="approval")
    await ctx.step(mail, item, cents, str(promise.id), promise.token)
    try:
        approved_by = await ctx.await_promise(promise, timeout=patience)
    except TimeoutError:
        return f"{item} is not ordered: nobody answered"
    except StepFailed as rejection:
        return f"{item} is not ordered: {rejection.message}"
    return await ctx.step(order, item, approved_by)


async def run(item: str, cents: int, patience: float) -> None:
    """Start the purchase of the item, or go on with it; print how it ends."""
    async with DurableEngine.open(URL, workflows=[purchase]) as engine:
        print(await engine.run(purchase, item, cents, patience, key=item))


async def decide(promise: str, token: str, *, approved_by: str = "", reason: str = "") -> None:
    """Resolve the promise, or reject it for a reason. No engine runs in this process."""
    async with DurableHandle.open(URL, promise, bytes.fromhex(token)) as handle:
        if reason:
            await handle.reject(reason)
        else:
            await handle.resolve(approved_by)


def command_line() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="A purchase that waits for a manager's word.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="start a purchase, or go on with it")
    running.add_argument("item")
    running.add_argument("cents", type=int)
    running.add_argument("--patience", type=float, default=7 * 24 * 3600, metavar="SECONDS")
    for name, last in (("approve", "name"), ("reject", "reason")):
        deciding = commands.add_parser(name, help="as the manager")
        deciding.add_argument("promise")
        deciding.add_argument("token_file", type=Path)
        deciding.add_argument(last)
    return parser.parse_args()


def main() -> None:
    """Do what the command line says; an error of the library is one line, and exit code 1."""
    given = command_line()
    try:
        if given.command == "run":
            asyncio.run(run(given.item, given.cents, given.patience))
            return
        token = given.token_file.read_text()
        if given.command == "approve":
            asyncio.run(decide(given.promise, token, approved_by=given.name))
        else:
            asyncio.run(decide(given.promise, token, reason=given.reason))
    except DurableError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
