"""Spans and metrics are wired from configuration alone: what an SDK and an exporter get to see."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import asyncio, json, sys
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from durable_core import DurableConfig, DurableContext, DurableEngine, step, workflow

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))

@step
async def echo(word: str) -> str:
    return word

gate = asyncio.Event()
reached = asyncio.Event()

@workflow
async def program(ctx: DurableContext) -> str:
    word = await ctx.step(echo, "canary-5d1")
    reached.set()
    await gate.wait()
    return word

async def main():
    config = DurableConfig(exporters=("otel",))
    def opened():
        return DurableEngine.open(sys.argv[1], workflows=[program], config=config, keys=sys.argv[2])
    async with opened() as engine:
        handle = await engine.start(program, key="k")
        await reached.wait()
    gate.set()
    async with opened() as engine:
        await (await engine.get(handle.id)).result()
        await engine.run(program, key="k")
        await engine.prune()
    names = [metric.name for resource in reader.get_metrics_data().resource_metrics
             for scope in resource.scope_metrics for metric in scope.metrics]
    print(json.dumps({
        "spans": sorted({span.name for span in spans.get_finished_spans()}),
        "replayed": sorted({str(span.attributes["replayed"])
                            for span in spans.get_finished_spans()
                            if span.name == "durable.step.run"}),
        "text": "canary" in "".join(span.to_json() for span in spans.get_finished_spans()),
        "metrics": sorted(set(names)),
    }))

asyncio.run(main())
"""


def test_every_span_and_the_queue_depth_arrive(url: str, key: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, url, key],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert seen["spans"] == [
        "durable.backend.open",
        "durable.journal.append",
        "durable.journal.finalize",
        "durable.journal.prune",
        "durable.journal.read",
        "durable.journal.read_segment",
        "durable.replay.cursor.build",
        "durable.step.run",
    ]
    assert seen["replayed"] == ["False", "True"]
    assert seen["text"] is False
    assert {
        "durable.engine.executions_running",
        "durable.engine.steps",
        "durable.engine.steps_replayed",
        "durable.journal.writer.appended",
        "durable.journal.writer.batch_size",
        "durable.journal.writer.commit_latency",
        "durable.journal.writer.queue_depth",
    } <= set(seen["metrics"])
