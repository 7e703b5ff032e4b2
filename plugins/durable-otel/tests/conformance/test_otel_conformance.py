"""The exporter for OpenTelemetry passes the kit of exporters."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from durable_core.conformance.metrics import Arrived, ExporterConformance
from durable_core.contracts import MetricsExporter
from durable_otel import OtelExporter


class TestOtel(ExporterConformance):
    """What arrives is what a reader of the real SDK collects."""

    @pytest.fixture
    def reader(self) -> InMemoryMetricReader:
        return InMemoryMetricReader()

    @pytest.fixture
    def exporter(self, reader: InMemoryMetricReader) -> MetricsExporter:
        return OtelExporter(MeterProvider([reader]))

    @pytest.fixture
    def arrived(self, reader: InMemoryMetricReader) -> Arrived:
        def names() -> set[str]:
            data = reader.get_metrics_data()
            scopes = [
                scope
                for resource in (data.resource_metrics if data else ())
                for scope in resource.scope_metrics
            ]
            return {metric.name for scope in scopes for metric in scope.metrics}

        return names
