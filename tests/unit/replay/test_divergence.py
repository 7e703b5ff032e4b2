"""The account of a divergence: readable, complete in names and positions, without values."""

from __future__ import annotations

from attrs import evolve

from durable_core.ids import ExecutionId
from durable_core.model.effects import EffectClass
from durable_core.model.entries import JournalRow
from durable_core.replay.detail import argument_digests
from durable_core.replay.divergence import ADVICE, describe, leftover
from durable_core.replay.lookup import Wanted
from durable_core.wire.keys import Keyring
from tests.journals import FINGERPRINT, MASTERS, counted_id, detail_of, plain_row, result_of

KEYS = Keyring.derive(MASTERS).execution_keys(1)
EXECUTION: ExecutionId = counted_id(1)
ARGUMENTS = (b"alice", b"book", b"cents")
WANTED = Wanted("3", "charge", FINGERPRINT, EffectClass.AT_LEAST_ONCE, ARGUMENTS)


def account_of(wanted: Wanted, row: JournalRow) -> str:
    return describe(wanted, row, KEYS)


def recorded(name: str = "charge", effect: int = EffectClass.AT_LEAST_ONCE) -> JournalRow:
    row = plain_row(result_of(EXECUTION, 3, effect=effect), 7)
    return row._replace(detail=detail_of(name, argument_digests(KEYS, ARGUMENTS)))


def test_ec_12_another_name_is_told_with_both_names() -> None:
    assert account_of(WANTED, recorded("refund")) == (
        "step 3: the program asks for 'charge' (at_least_once), the journal holds 'refund' "
        f"(at_least_once); different: the name; {ADVICE}"
    )


def test_ec_12_another_class_is_told_with_both_classes() -> None:
    account = account_of(WANTED, recorded(effect=EffectClass.EXACTLY_ONCE_GUARDED))
    assert "'charge' (at_least_once)" in account
    assert "'charge' (exactly_once_guarded)" in account
    assert "different: the effect class;" in account


def test_ec_18b_one_argument_is_told_by_its_position() -> None:
    account = account_of(evolve(WANTED, arguments=(b"alice", b"pen", b"cents")), recorded())
    assert "different: argument 1;" in account


def test_ec_18b_several_arguments_are_told_by_their_positions() -> None:
    account = account_of(evolve(WANTED, arguments=(b"bob", b"book", b"euros")), recorded())
    assert "different: arguments 0, 2;" in account


def test_several_differences_are_all_told() -> None:
    other = evolve(WANTED, name="refund", effect=EffectClass.IDEMPOTENT, arguments=(b"alice",))
    account = account_of(other, recorded())
    assert "different: the name, the effect class, arguments 1, 2;" in account


def test_what_is_left_is_the_sub_class() -> None:
    assert "different: the sub-class;" in account_of(WANTED, recorded())


def test_a_class_that_this_build_does_not_know_is_told_by_its_code() -> None:
    account = account_of(WANTED, recorded()._replace(effect_class=9))
    assert "the journal holds 'charge' (effect 9)" in account


def test_inv_05_an_account_holds_no_digest_and_no_fingerprint() -> None:
    account = account_of(evolve(WANTED, arguments=(b"bob", b"book", b"euros")), recorded())
    digests = argument_digests(KEYS, ARGUMENTS)
    for part in ("bob", "alice", digests.hex(), FINGERPRINT.hex(), FINGERPRINT.decode()):
        assert part not in account


def test_inv_05_what_is_asked_for_does_not_show_its_arguments() -> None:
    assert "alice" not in repr(WANTED)


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
