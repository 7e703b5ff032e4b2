"""The scenarios: each makes something go wrong on a side, and says in words what it observed."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from bench.comparison.flows import BRANCHES, SECRETS
from bench.comparison.lives import Stage
from bench.comparison.stores import delete, edit, files_of, found

__all__ = ["SCENARIOS", "Scenario"]

Scenario = Callable[[Stage], Awaitable[str]]
"""Makes something go wrong in a fresh stage; what was observed. `AssertionError`: it could not."""

_LONGEST: Final = 170
_CLAUSE: Final = re.compile(r"[.;] ")
_MOMENT_S: Final = 2.0
_ID: Final = re.compile(r"\b(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,})\b")


async def _changed_arguments(stage: Stage) -> str:
    await _killed(stage, "order", "pack")
    stage.customer("bob")
    return f"asked for `bob`: {_told(await _resumed(stage, 'order'))}"


async def _plain_gather(stage: Stage) -> str:
    await _killed(stage, "gathered", "pack")
    return _placed(await _resumed(stage, "gathered"))


async def _documented_branches(stage: Stage) -> str:
    await _killed(stage, "in_branches", "pack")
    return _placed(await _resumed(stage, "in_branches"))


async def _killed_in_a_charge(stage: Stage) -> str:
    await _killed(stage, "order", "charge")
    ending = await _resumed(stage, "order")
    return f"charged {_times(stage, 'charge')}; {_told(ending)}"


async def _killed_in_a_charge_by_key(stage: Stage) -> str:
    await _killed(stage, "order_by_key", "charge_by_key")
    ending = await _resumed(stage, "order_by_key")
    return f"charged {_times(stage, 'charge')}; {_told(ending)}"


async def _plaintext(stage: Stage) -> str:
    """The files are searched as a killed process leaves them, and when the workflow has ended."""
    await _killed(stage, "secretive", "pack", text=SECRETS["arguments"])
    seen, files = found(stage.store, SECRETS), set(files_of(stage.store))
    async with stage.life("B", "secretive", text=SECRETS["arguments"]) as life:
        ending = await life.ends()
    assert [*ending[:1]] == ["error"], f"the workflow did not fail: {ending}"
    assert stage.ledger("refuse"), f"its last step was not called: {ending}"
    seen = found(stage.store, SECRETS) | seen
    files |= set(files_of(stage.store))
    ways = {how: [kind for kind in SECRETS if seen.get(kind) == how] for how in seen.values()}
    said = [f"{', '.join(kinds)} {how}" for how, kinds in ways.items()]
    missing = [kind for kind in SECRETS if kind not in seen]
    said += [f"{', '.join(missing)} not found"] if missing else []
    return f"{'; '.join(said)}; files searched: {len(files)}"


async def _edited_row(stage: Stage) -> str:
    if isinstance(stage.side.rows, str):
        return f"not tried: {stage.side.rows}"
    await _killed(stage, "order", "pack")
    how = edit(stage.store, stage.side.rows)
    return f"{how}: {_told(await _resumed(stage, 'order'))}"


async def _deleted_row(stage: Stage) -> str:
    if isinstance(stage.side.rows, str):
        return f"not tried: {stage.side.rows}"
    await _killed(stage, "order", "pack")
    gone = delete(stage.store, stage.side.rows)
    assert gone == 1, f"{gone} rows were deleted"
    ending = await _resumed(stage, "order")
    return f"charged {_times(stage, 'charge')}; {_told(ending)}"


async def _stale_worker(stage: Stage) -> str:
    """A is stopped in a step, B takes over and stays in the same step, A goes on, then B."""
    stage.customer("alice")
    async with stage.life("A", "order", held="pack") as stale:
        await stale.reaches("pack")
        stale.stop()
        async with stage.life("B", "order", held="pack", takes_over=True) as heir:
            await heir.reaches("pack")
            stale.goes_on()
            stale.wake()
            at_once = await stale.ends(_MOMENT_S)
            heir.goes_on()
            ending = await heir.ends()
        late = at_once or await stale.ends()
    shippers = [words[-1] for words in stage.ledger("ship")]
    return (
        f"shipped {_often(len(shippers))}, by {' and '.join(shippers) or 'nobody'}; "
        f"the stale A: {_told(late)}; B: {_told(ending)}"
    )


SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        "changed arguments on replay": _changed_arguments,
        "branches under a plain `asyncio.gather`": _plain_gather,
        "branches in the documented form": _documented_branches,
        "`kill -9` inside a paid step": _killed_in_a_charge,
        "the same, the provider takes a key": _killed_in_a_charge_by_key,
        "plaintext on disk": _plaintext,
        "an edited row": _edited_row,
        "a deleted row": _deleted_row,
        "a stale second worker": _stale_worker,
    },
)
"""Every scenario by its row in the table."""


async def _killed(stage: Stage, flow: str, held: str, **more: str) -> None:
    """A first life, killed while it is in the step `held`."""
    stage.customer("alice")
    async with stage.life("A", flow, held=held, **more) as life:
        await life.reaches(held)
        await life.kill()


async def _resumed(stage: Stage, flow: str) -> Sequence[str]:
    """How a second life ends."""
    async with stage.life("B", flow) as life:
        return await life.ends()


def _told(ending: Sequence[str]) -> str:
    """An ending in words, without what differs from run to run."""
    match ending:
        case ["result", value]:
            return f"no error, result `{value}`"
        case ["error", kind, message]:
            said = _shortened(_ID.sub("…", " ".join(message.split())))
            return f"{kind}: {said}" if said else kind
        case ["gone"]:
            return "the process ended by itself"
        case _:
            return "no end within the time that it was given"


def _shortened(message: str) -> str:
    """The clauses of a message that fit into a cell."""
    if len(message) <= _LONGEST:
        return message
    clauses = list(_CLAUSE.finditer(message, 0, _LONGEST))
    return f"{message[: clauses[-1].start() if clauses else _LONGEST]} …"


def _placed(ending: Sequence[str]) -> str:
    """Whether each branch got its own results."""
    if [*ending[:1]] != ["result"]:
        return _told(ending)
    lines = dict(zip(BRANCHES, json.loads(ending[1]), strict=True))
    strangers = {
        who: [value for value in line if not value.startswith(who)] for who, line in lines.items()
    }
    if any(strangers.values()):
        got = ", ".join(f"`{who}` got {' and '.join(line)}" for who, line in lines.items())
        return f"results changed places, no error: {got}"
    return "each branch got its own results"


def _times(stage: Stage, effect: str) -> str:
    return _often(len(stage.ledger(effect)))


def _often(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
