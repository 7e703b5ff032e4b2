"""What earlier generations leave to a fresh run: results by key, never by position (INV-13)."""

from __future__ import annotations

import pytest

from durable_core.ids import StepId
from durable_core.model.effects import EffectClass
from durable_core.model.entries import (
    Entry,
    ExecutionFinished,
    IntentSettled,
    JournalRow,
)
from durable_core.model.execution import Status
from durable_core.replay.prior import PriorEffects
from tests.journals import (
    counted_id,
    failure_of,
    idem_key_of,
    intent_of,
    plain_row,
    result_of,
)

EXECUTION = counted_id(1)
GUARDED = EffectClass.EXACTLY_ONCE_GUARDED
FAILED = ExecutionFinished(EXECUTION, 0, Status.FAILED, b"\x01")


def after(*entries: Entry) -> PriorEffects:
    """A fresh run behind one generation with these entries."""
    prior = PriorEffects()
    for number, entry in enumerate(entries, 2):
        prior.add(plain_row(entry, number))
    prior.next_generation()
    return prior


def unclaimed(prior: PriorEffects, name: str) -> list[str]:
    return [row.step_id for row in prior.unclaimed_effects(name)]


def claimed(prior: PriorEffects, step: int = 0) -> JournalRow | None:
    return prior.claim(idem_key_of(step))


def test_inv_13_a_committed_effect_is_found_by_its_key() -> None:
    prior = after(intent_of(EXECUTION, 0), result_of(EXECUTION, 0, effect=GUARDED))
    row = claimed(prior)
    assert row == plain_row(result_of(EXECUTION, 0, effect=GUARDED), 3)
    assert claimed(prior, 1) is None


def test_inv_13_an_open_intent_is_the_last_word_on_its_step() -> None:
    assert claimed(after(intent_of(EXECUTION, 0))) == plain_row(intent_of(EXECUTION, 0), 2)


def test_inv_13_an_operators_word_is_the_last_word_on_its_step() -> None:
    settled = IntentSettled(EXECUTION, 0, StepId("0"), b"", idem_key_of(0), GUARDED, b"\x00")
    assert claimed(after(intent_of(EXECUTION, 0), settled)) == plain_row(settled, 3)


def test_a_failure_binds_no_later_run() -> None:
    prior = after(intent_of(EXECUTION, 0), failure_of(EXECUTION, 0, effect=GUARDED), FAILED)
    assert claimed(prior) is None
    assert unclaimed(prior, "charge") == []


def test_inv_13_what_a_later_run_made_of_a_step_hides_no_effect() -> None:
    prior = after(result_of(EXECUTION, 0, effect=GUARDED))
    prior.add(plain_row(failure_of(EXECUTION, 0, effect=GUARDED, generation=1), 4))
    prior.next_generation()
    assert claimed(prior) == plain_row(result_of(EXECUTION, 0, effect=GUARDED), 2)


@pytest.mark.parametrize("effect", [EffectClass.IDEMPOTENT, EffectClass.AT_LEAST_ONCE])
def test_after_a_divergence_only_guarded_results_are_taken_over(effect: EffectClass) -> None:
    prior = after(result_of(EXECUTION, 0, effect=effect))
    assert prior.divergences == 1
    assert claimed(prior) is None


@pytest.mark.parametrize("effect", list(EffectClass))
def test_after_a_failure_every_result_is_taken_over(effect: EffectClass) -> None:
    prior = after(result_of(EXECUTION, 0, effect=effect), FAILED)
    assert prior.divergences == 0
    assert claimed(prior) == plain_row(result_of(EXECUTION, 0, effect=effect), 2)


def test_how_the_last_generation_ended_counts() -> None:
    prior = after(result_of(EXECUTION, 0), FAILED)
    prior.add(plain_row(result_of(EXECUTION, 1, generation=1), 5))
    prior.next_generation()
    assert (claimed(prior, 0), claimed(prior, 1), prior.divergences) == (None, None, 1)
    prior.add(plain_row(ExecutionFinished(EXECUTION, 2, Status.FAILED, b"\x01"), 7))
    prior.next_generation()
    assert prior.divergences == 1


def test_the_newest_generation_has_the_last_word() -> None:
    prior = after(intent_of(EXECUTION, 0))
    result = plain_row(result_of(EXECUTION, 0, effect=GUARDED, generation=1), 4)
    prior.add(result)
    prior.next_generation()
    assert claimed(prior) == result


def test_an_entry_without_a_key_says_nothing_of_a_step() -> None:
    prior = PriorEffects()
    prior.add(plain_row(FAILED, 2))
    assert unclaimed(prior, "charge") == []


def test_inv_13_an_effect_of_the_same_name_that_nobody_claims_is_found() -> None:
    prior = after(
        result_of(EXECUTION, 0, effect=GUARDED, name="refund"),
        result_of(EXECUTION, 1, effect=GUARDED),
        result_of(EXECUTION, 2, name="render"),
    )
    assert unclaimed(prior, "charge") == ["1"]
    assert unclaimed(prior, "render") == [], "not guarded"
    assert claimed(prior, 1) is not None
    assert unclaimed(prior, "charge") == [], "claimed"
    assert unclaimed(prior, "refund") == ["0"]


def test_inv_13_a_step_that_has_an_entry_in_the_new_run_is_claimed() -> None:
    prior = after(result_of(EXECUTION, 0, effect=GUARDED))
    assert not prior.empty
    prior.consume(idem_key_of(1))
    assert unclaimed(prior, "charge") == ["0"]
    prior.consume(idem_key_of(0))
    assert unclaimed(prior, "charge") == []


def test_after_a_divergence_no_older_result_of_an_unguarded_step_counts() -> None:
    """Also not when the run after it failed, whose own results are taken over."""
    prior = after(result_of(EXECUTION, 0), result_of(EXECUTION, 1, effect=GUARDED))
    prior.add(plain_row(result_of(EXECUTION, 2, generation=1), 5))
    prior.add(plain_row(ExecutionFinished(EXECUTION, 1, Status.FAILED, b"\x01"), 6))
    prior.next_generation()
    assert [claimed(prior, step) is not None for step in range(3)] == [False, True, True]
