"""What the entry point leads to: one hook."""

from __future__ import annotations

from durable_core.contracts import MetricsExporter
from durable_core.hookspecs import Provided, hookimpl
from line_exporter.exporter import from_environment

__all__ = ["durable_metrics_exporters"]


@hookimpl
def durable_metrics_exporters() -> list[Provided[MetricsExporter]]:
    """The one exporter of this package."""
    return [Provided("line", from_environment)]
