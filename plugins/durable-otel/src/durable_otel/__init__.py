"""The OpenTelemetry metrics exporter of durable-core."""

from durable_otel.exporter import OtelExporter

__all__ = ["OtelExporter"]
