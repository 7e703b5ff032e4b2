"""What the specification says is held by counts is what the tests hold."""

from __future__ import annotations

from tests.counts.document import WHAT, document
from tests.counts.numbers import KEPT, ON_SQLITE
from tests.counts.numbers_on_postgres import ON_POSTGRES
from tests.counts.programs import KINDS
from tests.counts.runs import RUNS
from tests.meta.modules import ROOT


def test_specification_has_the_numbers() -> None:
    text = (ROOT / "spec" / "nfr.md").read_text(encoding="utf-8")
    assert document() in text, "put in what `python -m tests.counts.document` prints"


def test_every_number_is_in_a_run_that_a_test_makes() -> None:
    """A case whose run nobody makes, or a name that no table has, would hold nothing."""
    assert {case.run for case in ON_SQLITE} == {case.run for case in ON_POSTGRES} == set(RUNS)
    assert {case.run for case in KEPT} == set(KINDS)
    numbers = [number for case in (*ON_SQLITE, *ON_POSTGRES, *KEPT) for number in case.numbers]
    assert {number.what for number in numbers} == set(WHAT)
    assert [number for number in numbers if not number.why] == []
