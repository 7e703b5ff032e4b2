"""Alternating rounds: ours and the reference beside each other, so that drift meets both."""

from __future__ import annotations

import gc
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from bench.figures import Bar, Figure, Unit

__all__ = [
    "Paired",
    "Plan",
    "alternating",
    "in_rounds",
    "percentile",
    "repeated",
    "unpaired",
]

Sample = Callable[[], Awaitable[float]]
"""Takes one sample: a time or a rate. Whatever it needs, it prepares outside of what it times."""


@frozen
class Plan:
    """Where a run puts its files, and how much it measures."""

    folder: Path
    quick: bool

    @contextmanager
    def fresh_path(self) -> Iterator[Path]:
        """The path of a database that does not exist yet; what is there on leaving is removed."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            yield Path(folder) / "journal.db"

    @property
    def rounds(self) -> int:
        """How many rounds a measurement takes; each figure is a median of theirs."""
        return 5 if self.quick else 7

    def size(self, full: int, quick: int) -> int:
        """The size of a round."""
        return quick if self.quick else full


@frozen
class Paired:
    """The samples of both sides, round by round."""

    ours: tuple[float, ...]
    reference: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours to the reference, in each round."""
        return tuple(a / b for a, b in zip(self.ours, self.reference, strict=True))

    def figure(self, name: str, what: str, unit: Unit, bar: Bar | None) -> Figure:
        """The medians of the rounds; the ratio is the median of the rounds' ratios."""
        ratios = self.ratios
        return Figure(
            name,
            what,
            unit,
            ours=statistics.median(self.ours),
            reference=statistics.median(self.reference),
            value=statistics.median(ratios),
            low=min(ratios),
            high=max(ratios),
            bar=bar,
        )


async def alternating(rounds: int, ours: Sample, reference: Sample) -> Paired:
    """Sample both sides in each round, after one round that is not counted.

    Who goes first changes from round to round.
    """
    mine, theirs = await in_rounds(rounds, (ours, reference))
    return Paired(mine, theirs)


async def in_rounds(
    rounds: int, samples: Sequence[Sample], *, uncounted: int = 1
) -> list[tuple[float, ...]]:
    """What each gave, round by round, after `uncounted` rounds before.

    Each round takes one of every sample, in turn from the first and from the last on.
    """
    taken: list[list[float]] = [[] for _ in samples]
    for number in range(uncounted + rounds):
        order = list(zip(samples, taken, strict=True))
        for sample, values in reversed(order) if number % 2 else order:
            values.append(await _sampled(sample))
    return [tuple(values[uncounted:]) for values in taken]


async def repeated(
    rounds: int,
    sample: Sample,
    name: str,
    what: str,
    unit: Unit,
    bar: Bar | None = None,
) -> Figure:
    """The median of rounds that have no reference, after one that is not counted."""
    (samples,) = await in_rounds(rounds, [sample])
    return unpaired(samples, name, what, unit, bar)


def unpaired(
    samples: Sequence[float],
    name: str,
    what: str,
    unit: Unit,
    bar: Bar | None = None,
) -> Figure:
    """The median of samples that have no reference."""
    middle = statistics.median(samples)
    return Figure(name, what, unit, middle, middle, None, min(samples), max(samples), bar)


def percentile(samples: Sequence[float], hundredth: int) -> float:
    """The value that `hundredth` per cent of the samples do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * hundredth // 100) - 1)]


async def _sampled(sample: Sample) -> float:
    gc.collect()
    return await sample()
