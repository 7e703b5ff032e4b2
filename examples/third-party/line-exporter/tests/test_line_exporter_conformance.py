"""The exporter passes the kit that durable-core publishes in `durable-core[conformance]`."""

from __future__ import annotations

from pathlib import Path

import pytest
from line_exporter.exporter import LineExporter

from durable_core.conformance.metrics import Arrived, ExporterConformance
from durable_core.contracts import MetricsExporter


class TestLineExporter(ExporterConformance):
    """What arrives is what stands in the file."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "metrics.txt"

    @pytest.fixture
    def exporter(self, path: Path) -> MetricsExporter:
        return LineExporter(path)

    @pytest.fixture
    def arrived(self, path: Path) -> Arrived:
        def names() -> set[str]:
            lines = path.read_text().splitlines()
            return {line.split()[0] for line in lines if not line.startswith("#")}

        return names
