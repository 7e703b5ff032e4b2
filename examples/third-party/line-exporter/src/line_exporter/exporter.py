"""Measurements as lines of a text file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from durable_core.contracts import MetricSpec
from durable_core.errors import ConfigError

__all__ = ["VARIABLE", "LineExporter", "from_environment"]

VARIABLE: Final = "LINE_EXPORTER_FILE"


class LineExporter:
    """Appends `name value` for each measurement. One call at a time, from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def prepare(self, specs: Mapping[str, MetricSpec]) -> None:
        """Open the file and say which metrics may follow, each as `# name kind unit`."""
        self._file = self._path.open("a", encoding="utf-8", buffering=1)
        for spec in specs.values():
            self._file.write(f"# {spec.name} {spec.kind.value} {spec.unit}\n")

    def record(self, name: str, value: float) -> None:
        """One line; what was recorded before `prepare` or after `close` has no file to go to."""
        if self._file is not None:
            self._file.write(f"{name} {value:g}\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def from_environment() -> LineExporter:
    """The exporter for the file that `LINE_EXPORTER_FILE` names; `ConfigError` if it names none."""
    path = os.environ.get(VARIABLE)
    if not path:
        message = f"exporter 'line' appends to the file that {VARIABLE} names; set it"
        raise ConfigError(message)
    return LineExporter(Path(path))
