"""The account of a divergence: readable, complete in names and positions, without values."""

from __future__ import annotations

from attrs import evolve

from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass
from durable_core.model.entries import JournalRow
from durable_core.replay.divergence import ADVICE, describe, leftover
from durable_core.replay.lookup import Wanted
from tests.journals import FINGERPRINT, counted_id, detail_of, plain_row, result_of

EXECUTION: ExecutionId = counted_id(1)
WANTED = Wanted("3", "charge", FINGERPRINT, EffectClass.AT_LEAST_ONCE, b"aaaabbbbcccc")


def recorded(name: str = "charge", effect: int = EffectClass.AT_LEAST_ONCE) -> JournalRow:
    row = plain_row(result_of(EXECUTION, 3, effect=effect), 7)
    return row._replace(detail=detail_of(name, b"aaaa", b"bbbb", b"cccc"))


def test_ec_12_another_name_is_told_with_both_names() -> None:
    assert describe(WANTED, recorded("refund")) == (
        "step 3: the program asks for 'charge' (at_least_once), the journal holds 'refund' "
        f"(at_least_once); different: the name; {ADVICE}"
    )


def test_ec_12_another_class_is_told_with_both_classes() -> None:
    account = describe(WANTED, recorded(effect=EffectClass.EXACTLY_ONCE_GUARDED))
    assert "'charge' (at_least_once)" in account
    assert "'charge' (exactly_once_guarded)" in account
    assert "different: the effect class;" in account


def test_ec_18b_one_argument_is_told_by_its_position() -> None:
    account = describe(evolve(WANTED, digests=b"aaaaxxxxcccc"), recorded())
    assert "different: argument 1;" in account


def test_ec_18b_several_arguments_are_told_by_their_positions() -> None:
    account = describe(evolve(WANTED, digests=b"xxxxbbbbyyyy"), recorded())
    assert "different: arguments 0, 2;" in account


def test_several_differences_are_all_told() -> None:
    other = evolve(WANTED, name="refund", effect=EffectClass.IDEMPOTENT, digests=b"aaaa")
    account = describe(other, recorded())
    assert "different: the name, the effect class, arguments 1, 2;" in account


def test_what_is_left_is_the_sub_class() -> None:
    assert "different: the sub-class;" in describe(WANTED, recorded())


def test_a_class_that_this_build_does_not_know_is_told_by_its_code() -> None:
    account = describe(WANTED, recorded()._replace(effect_class=9))
    assert "the journal holds 'charge' (effect 9)" in account


def test_inv_05_an_account_holds_no_digest_and_no_fingerprint() -> None:
    account = describe(evolve(WANTED, digests=b"xxxxbbbbyyyy"), recorded())
    for part in ("xxxx", "aaaa", FINGERPRINT.hex(), FINGERPRINT.decode()):
        assert part not in account


def steps(count: int) -> list[JournalRow]:
    return [
        plain_row(result_of(EXECUTION, step, name=f"step-{step}"), step + 2)
        for step in range(count)
    ]


def test_ec_18_steps_that_were_not_asked_for_are_told_in_order() -> None:
    rows = steps(3)
    assert leftover([rows[2], rows[0], rows[1]]) == (
        "the program ended without asking for journaled steps: 0 'step-0', 1 'step-1', "
        f"2 'step-2'; {ADVICE}"
    )


def test_ec_18_many_of_them_are_counted() -> None:
    assert f"4 'step-4'; {ADVICE}" in leftover(steps(5))
    assert f"4 'step-4' and 3 more; {ADVICE}" in leftover(steps(8))
    assert "step-5" not in leftover(steps(8))
