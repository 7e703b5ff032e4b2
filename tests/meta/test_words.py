"""Nothing in the repository points into somebody's machine, network or workplace."""

from __future__ import annotations

import re

import pytest

from tests.meta.modules import files, name_of

# Each begins with a class of one character, so that no pattern finds itself.
FORBIDDEN = {
    "a folder of one machine": r"[/](work|home|root)/\w",
    "an environment of one machine": r"[/]tmp/venv|[/]opt/(wheels|pypi)",
    "a folder outside the repository": r"[.]\./shared",
    "a host of one network": r"\b[f]arm-[a-z0-9]",
    "a host of a registry": r"\b[p]ypi\.org|[p]ythonhosted|[r]egistry\.npmjs|[/]simple/",
    "a setting that names a registry": r"[i]ndex-url|[f]ind-links",
    "a part that is not there": r"\b[T]ODO\b|\b[F]IXME\b|\b[X]XX\b|[N]otImplementedError",
}
TEXT = ("*.py", "*.md", "*.toml", "*.txt", "*.sql", "*.csv", "*.svg", ".ci/*")


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_repository_is_free_of(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in files(*TEXT)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []
