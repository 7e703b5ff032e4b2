"""INV-1: core knows no domain: it depends on no framework, web or LLM library."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement

ALLOWED = {"attrs", "blake3", "cattrs", "cbor2", "opentelemetry-api", "pluggy"}


def test_core_depends_on_nothing_but_its_stated_libraries() -> None:
    needed = [Requirement(text) for text in requires("durable-core") or ()]
    assert {need.name for need in needed if need.marker is None} == ALLOWED


def test_importing_core_imports_no_driver_and_no_framework() -> None:
    program = (
        "import sys, durable_core, durable_core.journal, durable_core.registry\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(roots & {'aiosqlite', 'sqlite3', 'asyncpg', 'cryptography', 'typer',"
        " 'rich', 'durable_sqlite', 'durable_aead', 'durable_cli', 'durable_otel'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
