"""What a metrics exporter must do."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

__all__ = ["MetricKind", "MetricSpec", "MetricsExporter"]


class MetricKind(enum.Enum):
    """How the values of a metric combine."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@frozen
class MetricSpec:
    """One metric, as data: its dotted name, kind, unit (UCUM) and one line of description."""

    name: str
    kind: MetricKind
    unit: str
    description: str


class MetricsExporter(Protocol):
    """Receives measurements. Whatever it raises is counted and dropped; it cannot hurt a commit."""

    def prepare(self, specs: Mapping[str, MetricSpec]) -> None:
        """Called once, before the first `record`, with every metric that will ever be recorded."""
        ...

    def record(self, name: str, value: float) -> None:
        """One measurement: an increment, a level or an observation, by the metric's kind.

        Called from a thread of its own, never from the event loop; one call at a time.
        """
        ...

    def close(self) -> None:
        """Called once, after the last `record`."""
        ...
