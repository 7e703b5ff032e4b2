"""The distributions agree with each other: one version, one licence, the same Pythons."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.meta.modules import ROOT, files

PLUGINS = [path.parent for path in files("plugins/*/pyproject.toml")]
FOLDERS = [ROOT, *PLUGINS]
SHARED = ("version", "requires-python", "license", "license-files", "classifiers")


def shown(folder: Path) -> str:
    return "durable-core" if folder == ROOT else folder.name


def project(folder: Path) -> dict[str, Any]:
    with (folder / "pyproject.toml").open("rb") as file:
        content: dict[str, Any] = tomllib.load(file)["project"]
    return content


@pytest.mark.parametrize("folder", FOLDERS, ids=shown)
def test_metadata_is_that_of_core(folder: Path) -> None:
    core, own = project(ROOT), project(folder)
    assert {key: own.get(key) for key in SHARED} == {key: core.get(key) for key in SHARED}
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (folder / own["readme"]).stat().st_size > 0


@pytest.mark.parametrize("folder", PLUGINS, ids=shown)
def test_plugin_pins_its_core(folder: Path) -> None:
    """Raised together: a plugin asks for the core of its own minor version."""
    major, minor, _ = project(ROOT)["version"].split(".")
    assert f"durable-core~={major}.{minor}.0" in project(folder)["dependencies"]


@pytest.mark.parametrize("folder", FOLDERS, ids=shown)
def test_packages_are_marked_as_typed(folder: Path) -> None:
    packages = [path.parent for path in folder.glob("src/*/__init__.py")]
    assert packages
    assert [path.name for path in packages if not (path / "py.typed").exists()] == []
