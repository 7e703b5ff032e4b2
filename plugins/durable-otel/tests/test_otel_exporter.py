"""Metrics and spans of durable-core, as the real SDK of OpenTelemetry receives them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pluggy
import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from durable_core.contracts import MetricsExporter
from durable_core.hookspecs import CONTRACT_VERSION, PROJECT, PluginSpecs
from durable_core.telemetry import METRICS, SPAN_ATTRIBUTES, MetricKind, SpanName, Tracing
from durable_otel import OtelExporter, plugin

CANARY = "canary-5e3f"
SHAPES = {MetricKind.COUNTER: Sum, MetricKind.GAUGE: Gauge, MetricKind.HISTOGRAM: Histogram}


def collected(reader: InMemoryMetricReader) -> dict[str, Metric]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    assert scope.scope.name == "durable_core"
    return {metric.name: metric for metric in scope.metrics}


def only_point(metric: Metric) -> Any:
    (point,) = metric.data.data_points
    return point


def prepared() -> tuple[OtelExporter, InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    exporter = OtelExporter(MeterProvider([reader]))
    exporter.prepare(METRICS)
    return exporter, reader


def test_every_metric_arrives_with_its_kind_unit_and_description() -> None:
    exporter, reader = prepared()
    for name in METRICS:
        exporter.record(name, 1)
    metrics = collected(reader)
    assert set(metrics) == set(METRICS)
    for name, spec in METRICS.items():
        assert isinstance(metrics[name].data, SHAPES[spec.kind])
        assert (metrics[name].unit, metrics[name].description) == (spec.unit, spec.description)
        assert not only_point(metrics[name]).attributes


def test_values_combine_by_the_kind_of_the_metric() -> None:
    exporter, reader = prepared()
    names = ("durable.engine.steps", "durable.journal.writer.queue_depth")
    for value in (3, 5, 2):
        for name in (*names, "durable.journal.writer.batch_size"):
            exporter.record(name, value)
    metrics = collected(reader)
    counter, gauge = (only_point(metrics[name]) for name in names)
    histogram = only_point(metrics["durable.journal.writer.batch_size"])
    assert isinstance(counter, NumberDataPoint)
    assert isinstance(histogram, HistogramDataPoint)
    assert (counter.value, gauge.value) == (10, 2)
    assert (histogram.count, histogram.sum, histogram.min, histogram.max) == (3, 10, 2, 5)
    counters = [metric.data for metric in metrics.values() if isinstance(metric.data, Sum)]
    assert [data.is_monotonic for data in counters] == [True]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("durable.journal.writer.commit_latency", (0.0002, 0.002, 0.02, 0.2, 2.0)),
        ("durable.journal.writer.batch_size", (1, 10, 100, 256, 1000)),
    ],
)
def test_bucket_boundaries_tell_ordinary_values_apart(name: str, values: tuple[float, ...]) -> None:
    exporter, reader = prepared()
    for value in values:
        exporter.record(name, value)
    buckets = only_point(collected(reader)[name]).bucket_counts
    assert [count for count in buckets if count] == [1] * len(values)


def test_name_that_was_not_prepared_is_refused() -> None:
    exporter, _ = prepared()
    with pytest.raises(KeyError):
        exporter.record("durable.other", 1)


def test_close_leaves_the_provider_to_the_application() -> None:
    exporter, reader = prepared()
    exporter.record("durable.engine.steps", 1)
    exporter.close()
    assert only_point(collected(reader)["durable.engine.steps"]).value == 1


def test_without_an_sdk_measurements_go_nowhere() -> None:
    exporter = OtelExporter(NoOpMeterProvider())
    exporter.prepare(METRICS)
    for name in METRICS:
        exporter.record(name, 1)
    exporter.close()


def test_hook_durable_metrics_exporters_offers_otel() -> None:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginSpecs)
    manager.register(plugin)
    manager.check_pending()
    ((offered,),) = manager.hook.durable_metrics_exporters()
    assert (offered.name, offered.contract) == ("otel", CONTRACT_VERSION)
    exporter: MetricsExporter = offered.factory()
    assert isinstance(exporter, OtelExporter)


@pytest.mark.entrypoints
def test_entry_point_names_the_plugin() -> None:
    (entry,) = entry_points(group="durable_core.plugins", name="otel")
    assert entry.load() is plugin


def traced() -> tuple[Tracing, InMemorySpanExporter]:
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider), spans


def test_spans_arrive_nested_with_listed_attributes_only() -> None:
    tracing, spans = traced()
    listed = dict.fromkeys(SPAN_ATTRIBUTES, "x")
    with (
        tracing.span(SpanName.STEP_RUN, listed),
        tracing.span(SpanName.JOURNAL_APPEND, {"durable.batch_size": 3}) as inner,
    ):
        inner.set_attribute("durable.generation", 1)
    append, step = spans.get_finished_spans()
    assert (append.name, step.name) == ("durable.journal.append", "durable.step.run")
    assert append.parent == step.context
    assert dict(append.attributes or {}) == {"durable.batch_size": 3, "durable.generation": 1}
    assert dict(step.attributes or {}) == listed
    assert step.status.status_code is StatusCode.UNSET
    assert step.instrumentation_scope is not None
    assert step.instrumentation_scope.name == "durable_core"


def test_ec_27_a_span_shows_nothing_of_an_error_but_its_type() -> None:
    tracing, spans = traced()

    def fail() -> None:
        with tracing.span(SpanName.STEP_RUN, {}), tracing.span(SpanName.JOURNAL_APPEND, {}):
            raise LookupError(CANARY)

    with pytest.raises(LookupError, match=CANARY):
        fail()
    with pytest.raises(ValueError, match="not on the list"):
        tracing.span(SpanName.STEP_RUN, {"argument": CANARY})
    finished = spans.get_finished_spans()
    assert [(span.status.status_code, span.status.description) for span in finished] == [
        (StatusCode.ERROR, "LookupError"),
        (StatusCode.ERROR, "LookupError"),
    ]
    assert [span.events for span in finished] == [(), ()]
    assert CANARY not in "".join(span.to_json() for span in finished)


LATE = """
import time
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from durable_core.telemetry import METRICS, SpanName, Tracing
from durable_otel import OtelExporter

exporter, tracing = OtelExporter(), Tracing()
exporter.prepare(METRICS)
for name in METRICS:
    exporter.record(name, 1)
with tracing.span(SpanName.STEP_RUN, {}):
    pass

reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
metrics.set_meter_provider(MeterProvider([reader]))
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)

for name in METRICS:
    exporter.record(name, 1)
deadline = time.monotonic() + 10
while not spans.get_finished_spans() and time.monotonic() < deadline:
    with tracing.span(SpanName.STEP_RUN, {"replayed": True}):
        pass
scope = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
print(len(scope.metrics) == len(METRICS), [span.name for span in spans.get_finished_spans()])
"""


def test_an_sdk_that_is_installed_after_both_is_used() -> None:
    """In a process of its own, as the API's global providers can be set only once."""
    child = subprocess.run(
        [sys.executable, "-c", LATE],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert child.stdout == "True ['durable.step.run']\n"
    assert child.stderr == ""
