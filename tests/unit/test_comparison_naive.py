"""The comparison sees what goes wrong: an engine without any care is found out in each scenario."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from attrs import frozen

from bench.comparison.flows import SECRETS
from bench.comparison.lives import Stage
from bench.comparison.observing import column
from bench.comparison.scenarios import SCENARIOS
from bench.comparison.sides import Rows, Side
from bench.comparison.stores import edit, found
from bench.peers import Unavailable
from tests.journals import change, query
from tests.meta.modules import ROOT

WENT_WELL = "no error, result `charged alice, packed by B, shipped by B`"
BY_A = WENT_WELL.replace("by B", "by A")
SWAPPED = "results changed places, no error: `a` got a1 and b1, `b` got b2 and a2"
OBSERVED = {
    "changed arguments on replay": f"asked for `bob`: {WENT_WELL}",
    "branches under a plain `asyncio.gather`": SWAPPED,
    "branches in the documented form": SWAPPED,
    "`kill -9` inside a paid step": f"charged twice; {WENT_WELL}",
    "the same, the provider takes a key": f"charged once; {WENT_WELL}",
    "plaintext on disk": "arguments, results, errors in clear; files searched: 1",
    "an edited row": f"`alice` made `mally`: {WENT_WELL.replace('alice', 'mally')}",
    "a deleted row": f"charged twice; {WENT_WELL}",
    "a stale second worker": f"shipped once, by A; the stale A: {BY_A}; B: {BY_A}",
}
ROWS = Rows("calls.db", "calls", "said", "number = 1")


@frozen(kw_only=True)
class Careless(Side):
    """The engine of `naive.py`."""

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", "tests.unit.naive")


@frozen(kw_only=True)
class Absent(Side):
    """An engine that cannot be had."""

    async def ready(self, folder: Path) -> Side:
        message = f"{self.name} could not be installed into {folder.name}"
        raise Unavailable(message)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_careless_engine_is_found_out(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    side = Careless(name="naive", module="", distribution="", requirements=(), rows=ROWS)
    async with Stage.opened(side, tmp_path) as stage:
        assert await SCENARIOS[scenario](stage) == OBSERVED[scenario]


async def test_an_engine_that_cannot_be_had_has_a_column_that_says_so(tmp_path: Path) -> None:
    side = Absent(name="gone", module="", distribution="", requirements=(), rows="none")
    observed = await column(side, tmp_path / "gone")
    said = "not tried: gone could not be installed into environment"
    assert (observed.heading, [*observed.cells]) == ("gone", [said] * len(SCENARIOS))


@pytest.mark.parametrize("before", range(4))
def test_a_secret_is_found_behind_base64_wherever_it_stands(before: int, tmp_path: Path) -> None:
    stored = base64.b64encode(b"." * before + SECRETS["results"].encode() + b"the rest")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "store").write_bytes(b"in front" + stored)
    (tmp_path / "clear").write_text(SECRETS["errors"])
    assert found(tmp_path, SECRETS) == {"results": "as base64", "errors": "in clear"}


@pytest.mark.parametrize(
    ("stored", "changed", "said"),
    [
        ("charged alice", "charged mally", "`alice` made `mally`"),
        (
            base64.b64encode(b"charged alice").decode(),
            base64.b64encode(b"charged mally").decode(),
            "`alice` made `mally` behind base64",
        ),
        (b"\x01\x02\x03", b"\x01\x02\x02", "nothing to read in it; its last byte changed"),
    ],
)
def test_a_row_is_edited_as_well_as_it_can_be_read(
    stored: object, changed: object, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "calls.db"
    change(path, "CREATE TABLE calls (number INTEGER PRIMARY KEY, said)")
    change(path, "INSERT INTO calls VALUES (1, ?), (2, ?)", stored, stored)
    assert edit(tmp_path, ROWS) == said
    assert query(path, "SELECT said FROM calls ORDER BY number") == [(changed,), (stored,)]
