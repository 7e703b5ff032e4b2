"""A field that no row can hold is its caller's mistake: refused when offered, nothing noted."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from durable_core.contracts import MasterKeys
from durable_core.errors import EntryRejected
from durable_core.journal import Health
from durable_core.model.effects import EffectClass
from durable_core.model.entries import Entry, ExecutionFinished, ExecutionStarted
from durable_core.model.execution import Status
from tests.faults import faulty
from tests.journals import (
    MASTERS,
    begun,
    failure_of,
    fresh_id,
    intent_of,
    opened,
    result_of,
    wire_format,
    writing,
)

EXECUTION = fresh_id()
SURROGATE = "\ud800"
SECRET = "secret-text"

STEP_FIELDS: dict[str, list[object]] = {
    "fingerprint": ["f" * 32, None, bytearray(32)],
    "idem_key": ["i" * 32, None],
    "detail": [SECRET, 1],
    "step_id": [SURROGATE, b"0", None],
    "generation": [0.0, "0"],
    "effect_class": [-1, 4, 1 << 80, 2.0, None],
}
PAYLOADS: list[object] = [SECRET, [1], None, 7, bytearray(1)]
STATUSES: list[object] = ["completed", 3, None, [], Status.RUNNING, Status.BLOCKED]


def malformed() -> list[Any]:
    """Each kind of entry with each of its fields, and what that field must not be."""
    result, intent, failure = (make(EXECUTION, 0) for make in (result_of, intent_of, failure_of))
    finished = ExecutionFinished(EXECUTION, 0, Status.COMPLETED, b"\x00\xf6")
    started = ExecutionStarted(EXECUTION, 1, b"\x80")
    cases: list[tuple[Entry, str, list[object]]] = [
        (entry, name, values)
        for entry in (result, intent, failure)
        for name, values in STEP_FIELDS.items()
    ]
    cases += [(entry, "payload", PAYLOADS) for entry in (result, failure, finished, started)]
    cases += [(finished, "status", STATUSES)]
    cases += [(entry, "step_id", [SURROGATE]) for entry in (finished, started)]
    return [
        pytest.param(entry, name, values, id=f"{entry.kind.label}-{name}")
        for entry, name, values in cases
    ]


@pytest.mark.parametrize(("entry", "name", "values"), malformed())
@pytest.mark.parametrize("masters", [MASTERS, None], ids=["sealed", "plain"])
async def test_ec_04_a_malformed_entry_is_refused_to_its_caller_and_harms_nobody(
    url: str,
    masters: MasterKeys | None,
    entry: Any,
    name: str,
    values: list[object],
) -> None:
    async with opened(url) as backend, writing(backend, wire_format(masters)) as journal:
        execution = await begun(journal)
        for value in values:
            spoilt: Entry = attrs.evolve(entry, execution_id=execution, **{name: value})
            with pytest.raises(EntryRejected, match=name) as raised:
                journal.append_buffered(spoilt)
            assert SECRET not in str(raised.value)
            with pytest.raises(EntryRejected, match=name):
                await journal.append_acked(spoilt)
        await journal.append_acked(result_of(execution, 0))
        assert journal.health().restarts == 0
        assert journal.health().failed == 0


async def test_codes_may_be_enum_members_or_their_numbers(url: str) -> None:
    async with opened(url) as backend, writing(backend) as journal:
        execution = await begun(journal)
        for number, effect in enumerate((0, 1, EffectClass.AT_LEAST_ONCE, 3)):
            await journal.append_acked(result_of(execution, number, effect=effect))
        await journal.append_acked(attrs.evolve(result_of(execution, "é.0"), detail=None))
        assert len(await backend.journal.read_execution(execution.bytes)) == 6


@pytest.mark.parametrize("names", [{"workflow": SURROGATE}, {"key": ["k"]}, {"key": SURROGATE}])
@pytest.mark.parametrize("masters", [MASTERS, None], ids=["sealed", "plain"])
async def test_ec_04_names_that_are_no_text_start_nothing(
    url: str,
    masters: MasterKeys | None,
    names: dict[str, Any],
) -> None:
    async with faulty(url, wire=wire_format(masters)) as (backend, journal):
        with pytest.raises(EntryRejected, match="UTF-8"):
            await begun(journal, **names)
        await begun(journal, key="sound")
        assert len(await backend.real.list_executions()) == 1
        assert journal.health().state is Health.HEALTHY
