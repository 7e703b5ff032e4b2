"""The checker can fail: a ledger or a journal that was doctored is reported."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve

from tests.crash.evidence import Evidence, look
from tests.crash.killing import Ending, Moment
from tests.crash.matrix import Case, Matrix, Tally
from tests.crash.program import CLASSES
from tests.crash.promises import broken_at_the_end, broken_between, broken_by_a_kill

PLAN = [[f"{kind}.async"] for kind in CLASSES]
NAMES = [group[0] for group in PLAN]
EMPTY = Evidence([], {})

Lines = list[str]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    case = Case(tmp_path / "life", {"a": PLAN}, ())
    case.folder.mkdir()
    return case


@pytest.fixture
def ending(case: Case, matrix: Matrix) -> Ending:
    ending = matrix.live(case, Moment())
    assert ending.status == 0
    return ending


def everything_broken(case: Case, ending: Ending) -> list[str]:
    found = look(case.folder)
    return [
        *broken_between(EMPTY, found, ending),
        *broken_by_a_kill(found, ending, case.plans),
        *broken_at_the_end([EMPTY, found], ending, case.plans),
    ]


def doctor_ledger(case: Case, change: Callable[[Lines], Lines]) -> None:
    ledger = case.folder / "ledger"
    ledger.write_text("\n".join(change(ledger.read_text().splitlines())) + "\n")


def doctor_journal(case: Case, statement: str) -> None:
    with closing(sqlite3.connect(case.folder / "journal.db", isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount == 1


def test_an_honest_ledger_is_not_reported(case: Case, ending: Ending) -> None:
    assert everything_broken(case, ending) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_call_too_many_is_reported(name: str, case: Case, ending: Ending) -> None:
    doctor_ledger(case, lambda lines: [*lines, lines[NAMES.index(name)]])
    assert f"{name} {NAMES.index(name)} was called 2 times, not 1" in everything_broken(
        case, ending
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_call_that_is_missing_is_reported(name: str, case: Case, ending: Ending) -> None:
    doctor_ledger(case, lambda lines: [line for line in lines if not line.startswith(name)])
    number = NAMES.index(name)
    assert f"{name} {number} was called 0 times in all" in everything_broken(case, ending)


def test_another_key_is_reported(case: Case, ending: Ending) -> None:
    doctor_ledger(case, lambda lines: [*lines, lines[4].replace(lines[4].split()[1], "0" * 64)])
    assert "rerun.async 4 was repeated under another key" in everything_broken(case, ending)


def test_a_shared_key_is_reported(case: Case, ending: Ending) -> None:
    def share(lines: Lines) -> Lines:
        return [line.replace(line.split()[1], "0" * 64) for line in lines]

    doctor_ledger(case, share)
    assert "at_least_once.async 1 has the key of another step" in everything_broken(case, ending)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_of_a_journaled_step_is_reported(name: str, case: Case, ending: Ending) -> None:
    before = look(case.folder)
    doctor_ledger(case, lambda lines: [*lines, lines[NAMES.index(name)]])
    broken = broken_between(before, look(case.folder), ending)
    assert broken == [f"{name} {NAMES.index(name)} was called 1 times, not 0"]


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("idempotent.async", []),
        ("at_least_once.async", []),
        ("fail.async", ["fail.async 2 was called 1 times, not 0"]),
        ("skip.async", ["skip.async 3 was called 1 times, not 0"]),
        ("rerun.async", []),
        ("reconcile.async", ["reconcile.async 5 was called 1 times, not 0"]),
    ],
)
def test_a_call_after_an_open_intent_is_reported_where_the_class_forbids_it(
    name: str, broken: list[str], case: Case, ending: Ending
) -> None:
    doctor_journal(
        case,
        f"DELETE FROM durable_journal WHERE entry_kind = 3 AND step_id = '{NAMES.index(name)}'",
    )
    before = look(case.folder)
    doctor_ledger(case, lambda lines: [*lines, lines[NAMES.index(name)]])
    assert broken_between(before, look(case.folder), ending) == broken


def test_a_forgotten_effect_is_reported(case: Case, ending: Ending) -> None:
    before = look(case.folder)
    doctor_ledger(case, lambda lines: lines[1:])
    broken = broken_between(before, look(case.folder), ending)
    assert broken == ["the ledger lost idempotent.async 0"]


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("DELETE FROM durable_journal WHERE entry_no = 3", "execution a says 12 and has the"),
        ("DELETE FROM durable_journal WHERE entry_kind = 10", "is completed and ends with"),
        ("DELETE FROM durable_journal WHERE entry_kind = 1", "execution a has no beginning"),
        (
            "DELETE FROM durable_journal WHERE step_id = '4' AND entry_kind = 2",
            "execution a says 12 and has the",
        ),
        (
            (
                "UPDATE durable_journal SET idem_key = zeroblob(32) WHERE entry_kind = 2 "
                "AND step_id = '2'"
            ),
            "fail.async 2 was called without an intent",
        ),
        (
            "DELETE FROM durable_journal WHERE step_id = '1'",
            "fail.async 2 ran ahead of step 1",
        ),
        (
            "DELETE FROM durable_journal WHERE step_id = '0'",
            "execution a went on from steps 0 to 0 too early",
        ),
        ("UPDATE durable_executions SET generation = 1", "execution a was started afresh"),
        ("UPDATE durable_executions SET status = 'failed'", "execution a did not complete"),
        (
            "UPDATE durable_executions SET execution_key = 'b'",
            "execution a was acknowledged and is not there",
        ),
    ],
)
def test_a_doctored_journal_is_reported(
    statement: str, broken: str, case: Case, ending: Ending
) -> None:
    doctor_journal(case, statement)
    assert [line for line in everything_broken(case, ending) if broken in line] != []


def test_a_wrong_result_is_reported(case: Case, ending: Ending) -> None:
    wrong = [line.replace("skip.async=3", "skip.async=4") for line in ending.lines]
    assert everything_broken(case, evolve(ending, lines=wrong)) == [
        "skip.async 3 returned 'skip.async=4'"
    ]


def test_a_case_that_kills_nothing_is_reported(matrix: Matrix, tmp_path: Path) -> None:
    moment = Moment(failpoint="no.such.point")
    own = evolve(matrix, tally=Tally())
    with pytest.raises(AssertionError, match="was never killed"):
        own.play([Case(tmp_path / "life", {"a": PLAN}, [moment], surely=True)])
    assert own.tally == Tally(kills=0, violations=1)
    assert own.tally.summary == "crash matrix: 0 kills, 1 violations"
