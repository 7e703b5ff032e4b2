"""Spans and the table of metrics, on the API alone; the real SDK is met in durable-otel."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace.status import Status

from durable_core import contracts
from durable_core.telemetry import (
    METRICS,
    NO_METRICS,
    SPAN_ATTRIBUTES,
    AttributeValue,
    MetricKind,
    MetricSpec,
    SpanName,
    Tracing,
)

CANARY = "canary-5e3f"


class Kept(trace.NonRecordingSpan):
    """A span that remembers what happened to it."""

    def __init__(self, name: str, attributes: Mapping[str, Any], parent: trace.Span) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.name = name
        self.attributes = dict(attributes)
        self.parent = parent
        self.status: Status | None = None
        self.exceptions: list[BaseException] = []
        self.ended = 0

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def set_status(self, status: Any, description: str | None = None) -> None:
        assert description is None
        self.status = status

    def record_exception(self, exception: BaseException, *_: Any, **__: Any) -> None:
        self.exceptions.append(exception)

    def end(self, end_time: int | None = None) -> None:
        assert end_time is None
        self.ended += 1


class KeptTracer(trace.Tracer):
    def __init__(self) -> None:
        self.spans: list[Kept] = []

    def start_span(self, name: str, *_: Any, **keywords: Any) -> Kept:
        span = Kept(name, keywords["attributes"], trace.get_current_span())
        self.spans.append(span)
        return span

    @contextmanager
    def start_as_current_span(self, name: str, *_: Any, **keywords: Any) -> Iterator[trace.Span]:  # type: ignore[override]
        with trace.use_span(
            self.start_span(name, attributes=keywords["attributes"]),
            end_on_exit=True,
            record_exception=keywords["record_exception"],
            set_status_on_exception=keywords["set_status_on_exception"],
        ) as span:
            yield span


class KeptProvider(trace.TracerProvider):
    def __init__(self) -> None:
        self.tracer: trace.Tracer = KeptTracer()
        self.asked = 0

    @property
    def spans(self) -> list[Kept]:
        assert isinstance(self.tracer, KeptTracer)
        return self.tracer.spans

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        self.asked += 1
        return self.tracer


def test_span_carries_its_name_and_attributes() -> None:
    provider = KeptProvider()
    execution_id = uuid.uuid4()
    attributes: dict[str, AttributeValue] = {
        "durable.execution_id": execution_id,
        "replayed": True,
        "durable.attempts": 3,
    }
    with Tracing(provider).span(SpanName.STEP_RUN, attributes) as span:
        span.set_attribute("durable.status", "completed")
        span.set_attribute("durable.execution_id", execution_id)
        assert provider.spans[0].ended == 0
    (kept,) = provider.spans
    assert (kept.name, kept.ended, kept.status) == ("durable.step.run", 1, None)
    assert kept.attributes == {
        "durable.execution_id": str(execution_id),
        "replayed": True,
        "durable.attempts": 3,
        "durable.status": "completed",
    }


@pytest.mark.parametrize("provider", [None, KeptProvider()], ids=["no SDK", "SDK"])
def test_inv_05_attributes_off_the_list_are_refused(provider: KeptProvider | None) -> None:
    tracing = Tracing(provider)
    attributes = {"durable.step": "charge", "argument": CANARY}
    with pytest.raises(ValueError, match="span attributes argument are not on the list") as refused:
        tracing.span(SpanName.STEP_RUN, attributes)
    assert CANARY not in str(refused.value)
    with (
        tracing.span(SpanName.STEP_RUN, {}) as span,
        pytest.raises(ValueError, match="span attributes result are not on the list"),
    ):
        span.set_attribute("result", CANARY)
    assert provider is None or provider.spans[0].attributes == {}


def test_inv_05_an_error_is_shown_by_its_type_alone() -> None:
    provider = KeptProvider()
    error = RuntimeError(CANARY)
    with (
        pytest.raises(RuntimeError) as raised,
        Tracing(provider).span(SpanName.BACKEND_OPEN, {}),
    ):
        raise error
    assert raised.value is error
    (kept,) = provider.spans
    assert kept.exceptions == []
    assert kept.status is not None
    assert (kept.status.status_code, kept.status.description) == (
        trace.StatusCode.ERROR,
        "RuntimeError",
    )
    assert kept.ended == 1


async def test_cancellation_passes_through_and_is_no_error() -> None:
    provider = KeptProvider()
    begun = asyncio.Event()

    async def work() -> None:
        with Tracing(provider).span(SpanName.STEP_RUN, {}):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(kept.status, kept.ended) for kept in provider.spans] == [(None, 1)]


async def test_spans_nest_by_task_when_tasks_interleave() -> None:
    provider = KeptProvider()
    tracing = Tracing(provider)
    both = asyncio.Barrier(2)

    async def step(name: str) -> None:
        with tracing.span(SpanName.STEP_RUN, {"durable.step": name}):
            await both.wait()
            with tracing.span(SpanName.JOURNAL_APPEND, {"durable.step": name}):
                await both.wait()

    with tracing.span(SpanName.REPLAY_CURSOR_BUILD, {}):
        await asyncio.gather(step("a"), step("b"))
    root, *others = provider.spans
    assert root.parent is trace.INVALID_SPAN
    outer = {kept.attributes["durable.step"]: kept for kept in others[:2]}
    assert [kept.parent for kept in outer.values()] == [root, root]
    assert [kept.parent for kept in others[2:]] == [
        outer[kept.attributes["durable.step"]] for kept in others[2:]
    ]
    assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.parametrize(
    "provider",
    [None, trace.NoOpTracerProvider(), trace.ProxyTracerProvider()],
    ids=["global", "no-op", "proxy"],
)
def test_without_an_sdk_all_spans_are_one_object(provider: trace.TracerProvider | None) -> None:
    tracing = Tracing(provider)
    first = tracing.span(SpanName.STEP_RUN, {"durable.step": "a"})
    second = tracing.span(SpanName.JOURNAL_APPEND, {})
    assert first is second
    with first as outer, second as inner:
        assert outer is inner
        outer.set_attribute("durable.status", "completed")
        assert trace.get_current_span() is trace.INVALID_SPAN
    with pytest.raises(KeyError), first:
        raise KeyError


def test_an_sdk_that_is_switched_off_is_no_sdk() -> None:
    provider = KeptProvider()
    provider.tracer = trace.NoOpTracer()
    nothing = Tracing().span(SpanName.STEP_RUN, {})
    assert Tracing(provider).span(SpanName.STEP_RUN, {}) is nothing
    assert not Tracing(provider).recording
    assert Tracing(KeptProvider()).recording


def test_a_tracer_is_looked_for_every_tenth_of_a_second_and_then_kept() -> None:
    now = 100.0
    provider = KeptProvider()
    real, provider.tracer = provider.tracer, trace.NoOpTracer()
    tracing = Tracing(provider, lambda: now)
    for seconds, looks in ((100.0, 1), (100.05, 1), (100.11, 2), (100.2, 2)):
        now = seconds
        with tracing.span(SpanName.STEP_RUN, {}):
            assert provider.asked == looks
    provider.tracer = real
    now = 100.22
    for _ in range(3):
        with tracing.span(SpanName.STEP_RUN, {}):
            assert provider.asked == 3
    assert len(provider.spans) == 3


def test_attributes_are_asked_for_where_a_span_is_recorded_and_only_there() -> None:
    asked: list[str] = []

    def attributes(step: str, *, replayed: bool) -> dict[str, AttributeValue]:
        asked.append(step)
        return {"durable.step": step, "replayed": replayed}

    with Tracing().span_of(SpanName.STEP_RUN, attributes, "charge", replayed=False):
        assert asked == []
    provider = KeptProvider()
    with Tracing(provider).span_of(SpanName.STEP_RUN, attributes, "charge", replayed=True):
        assert asked == ["charge"]
    (span,) = provider.spans
    assert span.attributes == {"durable.step": "charge", "replayed": True}


LATE = """
import time
from opentelemetry import trace
from durable_core.telemetry import SpanName, Tracing

class Tracer(trace.Tracer):
    def start_span(self, *args, **keywords):
        raise AssertionError

    def start_as_current_span(self, name, **keywords):
        print("seen", name)
        return trace.use_span(trace.INVALID_SPAN)

class Provider(trace.TracerProvider):
    def get_tracer(self, *args, **keywords):
        return Tracer()

tracing = Tracing()
before = tracing.span(SpanName.STEP_RUN, {})
trace.set_tracer_provider(Provider())
deadline = time.monotonic() + 10
while tracing.span(SpanName.STEP_RUN, {}) is before and time.monotonic() < deadline:
    pass
"""


def test_an_sdk_that_is_installed_late_is_found() -> None:
    """In a process of its own, as the API's global provider can be set only once."""
    child = subprocess.run(
        [sys.executable, "-c", LATE],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert child.stdout.splitlines() == ["seen durable.step.run"]


def test_the_names_of_spans_and_their_attributes() -> None:
    assert sorted(SpanName) == [
        "durable.backend.open",
        "durable.journal.append",
        "durable.journal.finalize",
        "durable.journal.prune",
        "durable.journal.read",
        "durable.journal.read_segment",
        "durable.replay.cursor.build",
        "durable.step.run",
    ]
    assert sorted(SPAN_ATTRIBUTES) == [
        "durable.attempts",
        "durable.backend",
        "durable.batch_size",
        "durable.effect_class",
        "durable.entries",
        "durable.execution_id",
        "durable.generation",
        "durable.status",
        "durable.step",
        "durable.step_id",
        "durable.workflow",
        "replayed",
    ]


def test_the_table_of_metrics() -> None:
    assert {name: spec.kind.value for name, spec in METRICS.items()} == {
        "durable.journal.writer.queue_depth": "gauge",
        "durable.journal.writer.batch_size": "histogram",
        "durable.journal.writer.commit_latency": "histogram",
        "durable.journal.writer.appended": "counter",
        "durable.journal.writer.dropped": "counter",
        "durable.journal.writer.failed": "counter",
        "durable.journal.writer.acknowledged_late": "counter",
        "durable.journal.writer.restarts": "counter",
        "durable.engine.executions_running": "gauge",
        "durable.engine.steps": "counter",
        "durable.engine.steps_replayed": "counter",
        "durable.engine.divergences": "counter",
        "durable.engine.ambiguities": "counter",
        "durable.metrics.dropped": "counter",
    }
    assert METRICS["durable.journal.writer.commit_latency"].unit == "s"
    for name, spec in METRICS.items():
        assert spec.name == name
        assert re.fullmatch(r"s|\{[a-z]+\}", spec.unit)
        assert spec.description.endswith(".")


def test_the_table_of_metrics_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        METRICS["more"] = MetricSpec("more", MetricKind.GAUGE, "s", "More.")  # type: ignore[index]


def test_metric_types_are_those_of_the_exporter_contract() -> None:
    assert contracts.MetricSpec is MetricSpec
    assert contracts.MetricKind is MetricKind


def test_no_metrics_takes_everything() -> None:
    for name in METRICS:
        NO_METRICS.record(name, 1)
