"""What a metrics exporter must do. What a metric is stands with the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from durable_core.telemetry import MetricKind, MetricSpec

__all__ = ["MetricKind", "MetricSpec", "MetricsExporter"]


class MetricsExporter(Protocol):
    """Receives measurements. Whatever it raises is counted and dropped; it cannot hurt a commit.

    Every method is called from one thread that is the exporters' own, never from the event loop,
    and one call at a time.
    """

    def prepare(self, specs: Mapping[str, MetricSpec]) -> None:
        """Called once, before the first `record`, with every metric that will ever be recorded.

        If it raises, the exporter is not used.
        """
        ...

    def record(self, name: str, value: float) -> None:
        """One measurement: an increment, a level or an observation, by the metric's kind."""
        ...

    def close(self) -> None:
        """Called once, after the last `record`."""
        ...
