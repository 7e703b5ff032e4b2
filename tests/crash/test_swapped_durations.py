"""Helpers whose durations are swapped in every life, killed in between (EC-18c)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import swapped
from tests.crash.chain import Chain
from tests.crash.killing import Moment, Nursery, nursery
from tests.crash.swapped import CLASSES, FORMS

LINES_OF_A_LIFE = 8
"""Each of four steps says that it is called, and that it is back."""


@pytest.fixture(scope="module")
def lives() -> Iterator[Nursery]:
    with nursery(18, Path(swapped.__file__)) as serving:
        yield serving


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("said", range(1, LINES_OF_A_LIFE))
def test_ec_18c_results_never_change_places(
    form: str, kind: str, said: int, lives: Nursery, tmp_path: Path
) -> None:
    """Killed at a line that the first life says, and once more in the second life."""
    chain = Chain(tmp_path)
    plans = {"the one": [form, kind]}
    for moment in (Moment(lines=said), Moment(lines=said // 2)):
        ending = lives.live(tmp_path, plans, moment)
        assert ending.killed
        chain.check(ending)
    ending = lives.live(tmp_path, plans, Moment())
    chain.check(ending)
    assert chain.broken == []
    ((result,),) = [["".join(words)] for words in ending.said("result")]
    values = json.loads(result)
    assert [[value.partition("#")[0] for value in line] for line in values] == [
        ["a0", "a1"],
        ["b0", "b1"],
    ]
    back = {value.partition("#")[0]: value for line in values for value in line}
    assert chain.values.items() <= back.items(), "what was recorded came back each time"
