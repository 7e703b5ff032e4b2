"""A tracer, or a span processor behind it, that raises: spans are lost, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace

from durable_core.telemetry import SpanName, Tracing

CANARY = "canary-5e3f"
WORK = "of the work"


class Broken(trace.Tracer):
    """A tracer whose named parts fail, as one with a broken span processor does."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def start_span(self, *_: Any, **__: Any) -> trace.Span:
        raise RuntimeError(CANARY)

    def fail(self, part: str) -> None:
        if part in self.parts:
            raise RuntimeError(CANARY)

    @contextmanager
    def start_as_current_span(self, *_: Any, **__: Any) -> Iterator[trace.Span]:  # type: ignore[override]
        self.fail("start")
        span = trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)
        span.set_attribute = lambda *_: self.fail("attribute")  # type: ignore[method-assign]
        span.set_status = lambda *_: self.fail("status")  # type: ignore[method-assign]
        try:
            yield span
        finally:
            self.fail("end")


class NoScope(Broken):
    """One that does not even give a scope."""

    def start_as_current_span(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError(CANARY)


class Provider(trace.TracerProvider):
    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        return self.tracer


BROKEN = [
    *(Broken(part) for part in ("start", "attribute", "status", "end")),
    Broken("attribute", "status", "end"),
    NoScope(),
]


@pytest.mark.parametrize(
    "tracer", BROKEN, ids=lambda tracer: "-".join(getattr(tracer, "parts", ()))
)
def test_a_broken_tracer_costs_spans_and_nothing_else(
    tracer: trace.Tracer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracing = Tracing(Provider(tracer))
    done = []
    for _ in range(3):
        with tracing.span(SpanName.STEP_RUN, {}) as span:
            span.set_attribute("durable.step", "charge")
            with pytest.raises(ValueError, match="not on the list"):
                span.set_attribute("payload", "charge")
            done.append("work")
        with (
            pytest.raises(KeyError, match=WORK),
            tracing.span(SpanName.STEP_RUN, {}),
        ):
            raise KeyError(WORK)
    assert done == ["work"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "the tracer raised RuntimeError; spans may be incomplete, the work goes on",
    ]


def test_what_ends_the_process_is_not_held_up_by_a_span() -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        Tracing(Provider(Broken("end"))).span(SpanName.STEP_RUN, {}),
    ):
        raise KeyboardInterrupt
