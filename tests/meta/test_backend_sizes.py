"""A backend stays small: what two dialects would both do is in `durable_core.storage`."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_core.contracts.allowlist import ALLOWED_BACKENDS
from tests.meta.modules import code_lines, files

LIMIT = 1000
OF_ITS_OWN = {"durable_sqlite": 1060}
"""SQLite is a library in our process: its files, their modes and their place, WAL with its locks
and its length, a thread for each connection, and owners' locks are the backend's work, where
Postgres has a server.
"""

PACKAGES = sorted(place.package for place in ALLOWED_BACKENDS.values())


@pytest.mark.parametrize("package", PACKAGES)
def test_a_backend_stays_below_its_limit(package: str) -> None:
    modules = files(f"plugins/*/src/{package}/*.py")
    assert len(modules) > 5
    assert sum(code_lines(path) for path in modules) < OF_ITS_OWN.get(package, LIMIT)


def test_what_is_counted_is_code(tmp_path: Path) -> None:
    module = tmp_path / "counted.py"
    module.write_text(
        '"""One\ntwo."""\n\n# three\nA = """\nSELECT 1\n"""\n"""Four."""\n\n\n'
        'def f() -> int:\n    """Five."""\n    return 1  # six\n'
    )
    assert code_lines(module) == 5
