"""An agent that calls a paid model and tools in a loop, and may be killed at any moment.

    export DURABLE_KEY=$(durable keygen)
    python agent_loop.py "tidy up"                      # works on the folder `files`
    KILL_IN=ask_model python agent_loop.py "tidy up"    # dies in the middle of a paid call
    KILL_IN=delete_file python agent_loop.py "tidy up"  # dies in the middle of a deletion

- `ask_model` costs money. After a kill in the middle of it the provider is asked for the answer
  that it has given under the call's key: nothing is paid for twice.
- `find_files` only looks, and may run again.
- `delete_file` destroys. After a kill in the middle of it nobody but an operator may say whether it
  happened: the execution is blocked until `durable settle` says so.

The model is a function of this file, and its provider a folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from durable_core import (
    DID_NOT_HAPPEN,
    DurableContext,
    DurableEngine,
    EffectClass,
    EffectIntentSubClass,
    OnAmbiguous,
    current_step,
    reconcile,
    step,
    workflow,
)
from durable_core.errors import AmbiguousEffect, StepFailed

URL: Final = "sqlite:///agent.durable.db"
FILES: Final = Path("files")
PROVIDER: Final = Path("provider.jsonl")
MOST_TURNS: Final = 10


@dataclass(frozen=True)
class Move:
    """What the model wants: a tool to be called with an argument, or (`answer`) to have done."""

    tool: str
    argument: str


def model(transcript: list[str]) -> Move:
    """Stands for a model: it looks for logs, deletes one after the other, and says so."""
    task, *results = transcript
    if task != "tidy up":
        return Move("teleport", task)  # models make tools up
    if not results or not results[-1].startswith("found"):
        return Move("find_files", "*.log")
    found = results[-1].removeprefix("found").split()
    return Move("delete_file", found[0]) if found else Move("answer", "no logs are left")


def paid_for(idempotency_key: bytes, _transcript: list[str]) -> object:
    """Ask the provider what it has answered under the key."""
    if PROVIDER.exists():
        for line in PROVIDER.read_text().splitlines():
            call = json.loads(line)
            if call["key"] == idempotency_key.hex():
                return Move(**call["move"])
    return DID_NOT_HAPPEN


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.COST_BEARING,
    on_ambiguous=reconcile(paid_for),
)
def ask_model(transcript: list[str]) -> Move:
    """One paid call: each is a line in the provider's books.

    Where a provider cannot be asked, the policy is `OnAmbiguous.SKIP`, and None is returned.
    """
    key = current_step().idempotency_key.hex()
    move = model(transcript)
    with PROVIDER.open("a") as books:
        books.write(json.dumps({"key": key, "move": asdict(move)}) + "\n")
    kill_in("ask_model")
    return move


@step(effect=EffectClass.IDEMPOTENT)
def find_files(pattern: str) -> str:
    """The names that match."""
    return " ".join(["found", *sorted(path.name for path in FILES.glob(pattern))])


@step(
    effect=EffectClass.EXACTLY_ONCE_GUARDED,
    sub_class=EffectIntentSubClass.DESTRUCTIVE,
    on_ambiguous=OnAmbiguous.FAIL,
)
def delete_file(name: str) -> str:
    """Delete one file of the folder. A model's argument is checked like a stranger's."""
    if Path(name).name != name:
        message = f"{name!r} is no name of a file"
        raise ValueError(message)
    (FILES / name).unlink()
    kill_in("delete_file")
    return f"deleted {name}"


TOOLS: Final[dict[str, Callable[[str], str]]] = {
    "find_files": find_files,
    "delete_file": delete_file,
}


@workflow
async def agent(ctx: DurableContext, task: str) -> str:
    """Ask the model, do what it says, tell it what came of it."""
    transcript = [task]
    for _ in range(MOST_TURNS):
        move = await ctx.step(ask_model, transcript)
        if move.tool == "answer":
            return move.argument
        if move.tool not in TOOLS:
            return f"gave up: the model wants the tool {move.tool!r}, which does not exist"
        try:
            transcript.append(await ctx.step(TOOLS[move.tool], move.argument))
        except StepFailed as error:
            transcript.append(f"{move.tool} failed: {error.message}")
    return f"gave up after {MOST_TURNS} turns"


def kill_in(name: str) -> None:
    """Die here, if the environment says so: the effect has happened, and nobody has noted it."""
    if os.environ.get("KILL_IN") == name:
        os.kill(os.getpid(), signal.SIGKILL)


async def main(task: str) -> None:
    """Start the task, or go on with it; print how it ends, or what an operator has to say."""
    async with DurableEngine.open(URL, workflows=[agent]) as engine:
        handle = await engine.start(agent, task, key=task)
        try:
            print(await handle.result())
        except AmbiguousEffect as error:
            print(f"{handle.id} is blocked: {error}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An agent that may be killed at any moment.")
    parser.add_argument("task", help="what it is to do, such as 'tidy up'")
    asyncio.run(main(parser.parse_args().task))
