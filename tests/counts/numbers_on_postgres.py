"""The numbers that are held on Postgres: as `numbers`, for the same runs."""

from __future__ import annotations

from typing import Final

from tests.counts.cases import Case, Number

__all__ = ["ON_POSTGRES"]

_ONE_STATEMENT: Final = "a batch is one statement, which is its own transaction"
_ONE_TRIP: Final = "the statement is prepared, so that it is sent and answered at once"


def _batches(count: int, why: str) -> tuple[Number, ...]:
    """Of batches on Postgres each number is that of the commits."""
    return (
        Number("commits", count, why),
        Number("statements", count, _ONE_STATEMENT),
        Number("round trips", count, _ONE_TRIP),
    )


def _reads(segments: int) -> tuple[Number, ...]:
    return (
        Number("commits", 0, "nothing is written"),
        Number("statements", segments, "one for each segment"),
        Number("round trips", segments, _ONE_TRIP),
    )


ON_POSTGRES: Final = (
    Case(
        "guarded step",
        "guarded",
        _batches(1, "the result of the step before goes with the intent (INV-20)"),
    ),
    Case(
        "workflow of five guarded steps",
        "guarded",
        _batches(6, "start + intent, four of result + intent, result + end (INV-20)"),
    ),
    Case("idempotent step", "idempotent", _batches(0, "it waits for company")),
    Case(
        "workflow of five idempotent steps",
        "idempotent",
        _batches(1, "everything waits for the end, which is acknowledged"),
    ),
    Case(
        "200 workflows of five guarded steps at once",
        "guarded-at-once",
        _batches(12, "six for those 128 that begin at once, and six for the others"),
    ),
    Case(
        "200 workflows of five idempotent steps at once",
        "idempotent-at-once",
        _batches(2, "1,400 entries: of the 128 that begin at once, and of the others"),
    ),
    Case(
        "100 guarded steps in ten branches",
        "guarded-branches",
        _batches(20, "two for ten steps: they go together where they come together"),
    ),
    Case(
        "100 idempotent steps in ten branches",
        "idempotent-branches",
        _batches(0, "they go with the others"),
    ),
    Case(
        "100 steps resumed",
        "replay",
        (
            Number("commits", 1, "the end; the claim leaves no entry"),
            Number("statements", 6, "the row, its owner, the claim, two segments, the end"),
            Number("round trips", 6, _ONE_TRIP),
        ),
    ),
    Case("100 replayed steps", "replay", _reads(1)),
    Case("100 replayed guarded steps in ten branches", "guarded-branches", _reads(2)),
    Case("100 replayed idempotent steps in ten branches", "idempotent-branches", _reads(1)),
    Case("lone acknowledged append", "append", _batches(1, "nobody is waited for")),
)
