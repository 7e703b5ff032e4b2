"""What this package offers to durable-core: the metrics exporter `otel`."""

from __future__ import annotations

from durable_core.contracts import MetricsExporter
from durable_core.hookspecs import Provided, hookimpl
from durable_otel.exporter import OtelExporter

__all__ = ["durable_metrics_exporters"]


@hookimpl
def durable_metrics_exporters() -> list[Provided[MetricsExporter]]:
    """The one exporter of this package; making it touches no provider."""
    return [Provided("otel", OtelExporter)]
