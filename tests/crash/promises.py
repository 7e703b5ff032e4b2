"""What each class of effects promises, checked against what a killed process left behind.

Each function returns what was broken, one line for each; empty where everything holds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from durable_core.model.entries import EntryKind
from tests.crash.evidence import Effect, Evidence, Execution
from tests.crash.killing import Ending
from tests.crash.program import RAISES, value_of

__all__ = ["broken_at_the_end", "broken_between", "broken_by_a_kill"]

Plan = Sequence[Sequence[str]]

GUARDED: Final = frozenset({"fail", "skip", "rerun", "reconcile"})


def broken_by_a_kill(found: Evidence, ending: Ending, plans: Mapping[str, Plan]) -> list[str]:
    """What must hold at every instant: EC-08, INV-4, INV-18, INV-20, one key per step."""
    broken = list(_keys(found))
    for execution in found.executions.values():
        broken += _prefix(execution)
        broken += _order(execution, plans.get(execution.key, []))
    for effect in found.calls:
        broken += _announced(effect, found, plans)
    return broken + list(_acknowledged(found, ending))


def broken_between(before: Evidence, after: Evidence, ending: Ending) -> list[str]:
    """What one life may add to the ledger, given how the one before had left the journal."""
    broken = []
    earlier = before.calls
    words = {(execution, step) for execution, step in ending.said("settled")}
    settled = Counter(execution for execution, _ in ending.said("settled"))
    for effect, calls in after.calls.items():
        new = calls - earlier[effect]
        # An execution that is settled runs again from its beginning.
        runs = 1 + settled[effect.execution]
        execution = before.executions.get(effect.execution)
        word = (effect.execution, str(effect.number)) in words
        allowed = _allowed(effect, earlier[effect], execution, runs, word=word)
        if new > allowed:
            broken.append(f"{effect.name} {effect.number} was called {new} times, not {allowed}")
    lost = earlier.keys() - after.calls.keys()
    broken += [f"the ledger lost {effect.name} {effect.number}" for effect in lost]
    return broken


def broken_at_the_end(
    history: Sequence[Evidence], ending: Ending, plans: Mapping[str, Plan]
) -> list[str]:
    """What must hold when every workflow has ended: all results right, all effects accounted.

    `history` is what each life left behind, the last one with a journal that is complete.
    """
    broken = []
    found = history[-1]
    results = {key: json.loads(" ".join(rest)) for key, *rest in ending.said("result")}
    for key, plan in plans.items():
        execution = found.keyed(key)
        if execution is None or execution.status != "completed" or key not in results:
            broken.append(f"execution {key} did not complete")
            continue
        calls = {
            effect.number: count
            for effect, count in found.calls.items()
            if effect.execution == execution.id
        }
        names = [name for group in plan for name in group]
        if len(results[key]) != len(names) or not calls.keys() <= set(range(len(names))):
            broken.append(f"execution {key} has other steps than its plan")
            continue
        for number, name in enumerate(names):
            open_once = any(
                execution.id in each.executions
                and each.executions[execution.id].last(number) is EntryKind.EFFECT_INTENT
                for each in history
            )
            seen = calls.get(number, 0)
            broken += _outcome(name, number, seen, results[key][number], ambiguous=open_once)
    expected = len(plans)
    if len(found.executions) != expected:
        broken.append(f"there are {len(found.executions)} executions and not {expected}")
    return broken


def _allowed(
    effect: Effect, calls: int, execution: Execution | None, runs: int, *, word: bool
) -> int:
    """How often a life of so many runs may call a step that was called that often before it.

    `word` says that an operator looked into the ledger meanwhile, and settled the step by it.
    """
    if execution is not None and execution.closed(effect.number):
        return 0
    if effect.kind not in GUARDED:
        return runs
    if execution is None or execution.last(effect.number) is None:
        return 1
    match effect.kind:
        case "skip":
            # The engine takes an intent back whose function it has not called.
            taken_back = execution.last(effect.number) is EntryKind.INTENT_SETTLED
            return 1 if (taken_back or word) and not calls else 0
        case "fail" | "reconcile":
            return 0 if calls else 1
        case _:
            return 1


def _outcome(
    name: str, number: int, calls: int, value: str | None, *, ambiguous: bool
) -> Iterator[str]:
    """The promise of the step's class, over all its calls, and the value that came of them.

    `ambiguous` says that a kill once left the step's intent open.
    """
    kind, way = name.split(".")
    legal = {
        "idempotent": calls >= 1,
        "at_least_once": calls >= 1,
        "fail": calls == 1,  # an operator looked into the ledger
        "skip": calls <= 1 if value is None else calls == 1,
        "rerun": calls >= 1 if ambiguous else calls == 1,
        "reconcile": calls == 1,
    }
    if not legal[kind]:
        yield f"{name} {number} was called {calls} times in all"
    values: set[str | None] = {value_of(name, number)}
    if way == RAISES:
        # Settled and reconciled ones do not know that the function failed after its effect.
        failed: set[str | None] = {f"{name}!ValueError"}
        values = failed | values if kind in {"fail", "reconcile"} else failed
    if kind == "skip" and ambiguous:
        values.add(None)
    if value not in values:
        yield f"{name} {number} returned {value!r}"


def _keys(found: Evidence) -> Iterator[str]:
    """Every repetition of a step has the same key, which no other step has."""
    steps: dict[str, Effect] = {}
    keys: dict[tuple[str, int], str] = {}
    for effect in found.effects:
        if steps.setdefault(effect.key, effect) != effect:
            yield f"{effect.name} {effect.number} has the key of another step"
        if keys.setdefault((effect.execution, effect.number), effect.key) != effect.key:
            yield f"{effect.name} {effect.number} was repeated under another key"


def _prefix(execution: Execution) -> Iterator[str]:
    """The entries are numbered without a gap, and the execution's row knows them all."""
    numbers = [number for number, *_ in execution.entries]
    if numbers != list(range(1, execution.count + 1)):
        yield f"execution {execution.key} says {execution.count} and has the entries {numbers}"
    if execution.generation != 0:
        yield f"execution {execution.key} was started afresh"
    kinds = [kind for _, _, kind, _ in execution.entries]
    if kinds[:1] != [EntryKind.EXECUTION_STARTED]:
        yield f"execution {execution.key} has no beginning"
    ended = execution.status not in {"running", "blocked"}
    if (kinds[-1:] == [EntryKind.EXECUTION_FINISHED]) != ended:
        yield f"execution {execution.key} is {execution.status} and ends with {kinds[-1:]}"


def _order(execution: Execution, plan: Plan) -> Iterator[str]:
    """No step of a group has an entry before every step of the group before is closed."""
    ends = [0]
    for group in plan:
        ends.append(ends[-1] + len(group))
    for start, end in pairwise(ends):
        begun = any(execution.last(step) is not None for step in range(end, ends[-1]))
        if begun and not all(execution.closed(step) for step in range(start, end)):
            yield f"execution {execution.key} went on from steps {start} to {end - 1} too early"


def _announced(effect: Effect, found: Evidence, plans: Mapping[str, Plan]) -> Iterator[str]:
    """No guarded function is called ahead of its own intent, and of all that came before."""
    execution = found.executions.get(effect.execution)
    if execution is None:
        yield f"{effect.name} {effect.number} belongs to no execution"
        return
    if effect.kind not in GUARDED:
        return
    keys = {key for _, step, _, key in execution.entries if step == str(effect.number)}
    if keys != {effect.key}:
        yield f"{effect.name} {effect.number} was called without an intent"
    at = 0
    for group in plans.get(execution.key, []):
        if effect.number < at + len(group):
            return
        for step in range(at, at + len(group)):
            if not execution.closed(step):
                yield f"{effect.name} {effect.number} ran ahead of step {step}"
        at += len(group)


def _acknowledged(found: Evidence, ending: Ending) -> Iterator[str]:
    """What the process knew to be durable is there."""
    for key, execution_id in ending.said("started"):
        execution = found.keyed(key)
        if execution is None or execution.id != execution_id or not execution.entries:
            yield f"execution {key} was acknowledged and is not there"
    for key, *_ in ending.said("result"):
        execution = found.keyed(key)
        if execution is None or execution.status != "completed":
            yield f"execution {key} had returned its result and is not completed"
    for execution_id, step in ending.said("settled"):
        settled = found.executions[execution_id].entries if execution_id in found.executions else []
        if not any(
            place == step and kind is EntryKind.INTENT_SETTLED for _, place, kind, _ in settled
        ):
            yield f"step {step} of {execution_id} was settled and is not"
