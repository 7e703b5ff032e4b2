"""What a step's entries say together, and the orders of entries that no writer produces."""

from __future__ import annotations

import pytest

from durable_core.errors import DecodeError
from durable_core.ids import StepId
from durable_core.model.entries import (
    Entry,
    ExecutionStarted,
    IntentSettled,
    JournalRow,
    TimerArmed,
    TimerFired,
)
from durable_core.replay.lookup import (
    CLOSES,
    FRESH,
    Armed,
    Fresh,
    IntentOnly,
    Recorded,
    Settled,
    answer_of,
    first_entry,
    next_entry,
)
from tests.journals import counted_id, failure_of, intent_of, plain_row, result_of

EXECUTION = counted_id(1)
INTENT = plain_row(intent_of(EXECUTION, 0), 2)
RESULT = plain_row(result_of(EXECUTION, 0), 3)
FAILURE = plain_row(failure_of(EXECUTION, 0), 3)
SETTLED = plain_row(IntentSettled(EXECUTION, 0, StepId("0"), b"", b"", 3, b"\x00"), 3)


def test_a_result_and_a_failure_are_recorded() -> None:
    assert answer_of(first_entry(RESULT)) == Recorded(RESULT)
    assert answer_of(first_entry(FAILURE)) == Recorded(FAILURE)


def test_an_intent_alone_is_an_open_one() -> None:
    record = first_entry(INTENT)
    assert record.entry_kind not in CLOSES
    assert answer_of(record) == IntentOnly(INTENT)


@pytest.mark.parametrize("close", [RESULT, FAILURE], ids=["result", "failure"])
def test_the_close_of_a_step_decides_over_its_intent(close: JournalRow) -> None:
    record = first_entry(INTENT)
    record = next_entry(record, close)
    assert record.entry_kind in CLOSES
    assert answer_of(record) == Recorded(close)


def test_an_operators_word_decides_over_the_intent_and_the_close_over_both() -> None:
    record = first_entry(INTENT)
    record = next_entry(record, SETTLED)
    assert record.entry_kind not in CLOSES
    assert answer_of(record) == Settled(SETTLED)
    record = next_entry(record, RESULT._replace(entry_no=4))
    assert answer_of(record) == Recorded(RESULT._replace(entry_no=4))


@pytest.mark.parametrize("entry", [intent_of(EXECUTION, 0), result_of(EXECUTION, 0)])
def test_nothing_follows_the_close_of_a_step(entry: Entry) -> None:
    record = first_entry(RESULT)
    with pytest.raises(DecodeError, match="entry 9 follows the entry that closed step 0"):
        next_entry(record, plain_row(entry, 9))


def test_an_entry_of_another_kind_answers_nothing() -> None:
    started = plain_row(ExecutionStarted(EXECUTION, 0, b"\x80"))
    with pytest.raises(DecodeError, match="entry 1 of kind 1 is no entry of a step"):
        answer_of(first_entry(started))


def test_fresh_is_one_value() -> None:
    assert Fresh() == FRESH


ARMED = plain_row(TimerArmed(EXECUTION, 0, StepId("0"), b"armed"), 2)
FIRED = plain_row(TimerFired(EXECUTION, 0, StepId("0"), b"fired"), 3)


def test_a_timer_is_armed_and_then_fired_or_cancelled() -> None:
    record = first_entry(ARMED)
    assert answer_of(record) == Armed(ARMED)
    record = next_entry(record, FIRED)
    assert answer_of(record) == Recorded(FIRED)
    cancelled = first_entry(ARMED)
    cancelled = next_entry(cancelled, FAILURE)
    assert answer_of(cancelled) == Recorded(FAILURE)


@pytest.mark.parametrize(
    ("first", "second"), [(ARMED, RESULT), (ARMED, ARMED), (INTENT, FIRED), (INTENT, ARMED)]
)
def test_a_timer_stands_alone_at_its_place(first: JournalRow, second: JournalRow) -> None:
    record = first_entry(first)
    with pytest.raises(DecodeError, match="does not belong behind"):
        next_entry(record, second)


def test_a_timer_that_was_never_armed_does_not_fire() -> None:
    with pytest.raises(DecodeError, match="does not belong behind"):
        first_entry(FIRED)
