"""What a case is, and what it means that its numbers hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from attrs import frozen

__all__ = ["Case", "Number"]


@frozen
class Number:
    """How often something happens in a case."""

    what: str
    count: int
    why: str
    at_most: bool = False
    """Whether fewer are as good."""

    def __str__(self) -> str:
        return f"≤ {self.count:,}" if self.at_most else f"{self.count:,}"

    def holds(self, counted: int) -> bool:
        """Whether that is what was to be counted."""
        return counted <= self.count if self.at_most else counted == self.count


@frozen
class Case:
    """What one of `runs` gives the cost of."""

    name: str
    run: str
    numbers: Sequence[Number]

    def broken(self, cost: Counter[str]) -> Iterator[str]:
        """What does not hold, in words."""
        unnamed = +cost - Counter({number.what: cost[number.what] for number in self.numbers})
        for what, count in unnamed.items():
            yield f"{self.name}: {what}: {count:,}, and no number says so"
        for number in self.numbers:
            count = cost[number.what]
            if not number.holds(count):
                yield f"{self.name}: {number.what}: {count:,}, not {number}: {number.why}"
