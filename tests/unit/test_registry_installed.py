"""The registry and what is installed: entry points that fail, backends, descriptions."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import durable_aead.plugin
from durable_core.composition import PluginKind
from durable_core.errors import PluginConflict, PluginError
from durable_core.hookspecs import Provided, hookimpl
from durable_core.registry import PluginInfo, Registry
from tests.unit.fabricated import BACKENDS, PLUGINS, Site
from tests.unit.offered import (
    CANARY,
    OTHER_BACKEND,
    Everything,
    offering,
)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_"),
        (f"raise ValueError({CANARY!r})", r"\(ValueError\)"),
        ("this is no Python", r"\(SyntaxError\)"),
    ],
)
def test_a_plugin_that_does_not_import_is_named(site: Site, source: str, shown: str) -> None:
    site.add("broken-toy", PLUGINS, {"toy": "broken_toy"}, {"broken_toy": source})
    with pytest.raises(PluginError, match=f"'toy' of broken-toy 1.0.*{shown}") as raised:
        Registry.discover()
    assert raised.value.__cause__ is not None
    assert CANARY not in str(raised.value)


def test_an_entry_point_that_leads_nowhere_is_named(site: Site) -> None:
    site.add("broken-toy", PLUGINS, {"toy": "!!"})
    with pytest.raises(PluginError, match=r"'toy' of broken-toy 1\.0 cannot be imported"):
        Registry.discover()


def test_backend_imports_exactly_the_one_that_is_asked_for(site: Site) -> None:
    marks = {}
    for name in ("sqlite", "postgres"):
        package = f"durable_{name}"
        source, marks[name] = site.marking(package)
        source += "from durable_core.contracts import ExecutionBackend\n"
        source += f"class Backend(ExecutionBackend):\n    name = {name!r}\n"
        site.add(f"durable-{name}", BACKENDS, {name: f"{package}:Backend"}, {package: source})
    registry = Registry.discover()
    assert [info.name for info in registry.describe()] == ["postgres", "sqlite"]
    assert not any(mark.exists() for mark in marks.values())
    assert registry.backend("postgres").name == "postgres"
    assert marks["postgres"].exists()
    assert not marks["sqlite"].exists()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise OSError", PluginError),
        ("Backend = 7", PluginConflict),
        ("class Backend: name = 'sqlite'", PluginConflict),
        (
            OTHER_BACKEND,
            PluginConflict,
        ),
        ("Nothing = 7", PluginError),
    ],
)
def test_a_backend_package_that_is_damaged_is_named(
    site: Site,
    source: str,
    error: type[PluginError],
) -> None:
    site.add("durable-sqlite", BACKENDS, {"sqlite": "durable_sqlite:Backend"})
    site._write("durable_sqlite", source)
    with pytest.raises(error, match=r"'sqlite' of durable-sqlite 1\.0") as raised:
        Registry.discover().backend("sqlite")
    assert type(raised.value) is error


def test_describe_says_what_can_be_used_and_why_the_rest_cannot() -> None:
    registry = Registry.of(
        durable_aead.plugin,
        offering("durable_audit_sinks", Provided("old", Everything, 0)),
        offering("durable_ciphr"),
        strict=False,
    )
    given = [info for info in registry.describe() if info.kind is not PluginKind.BACKEND]
    assert given[0] == PluginInfo(PluginKind.CIPHER, "xaes-256-gcm", "", "", 1, None)
    assert [(info.kind, info.name, info.contract, info.usable) for info in given[1:]] == [
        (PluginKind.AUDIT_SINK, "old", 0, False),
        (PluginKind.PLUGIN, "someone.plugin", None, False),
    ]
    assert "contract 0" in (given[1].refusal or "")
    assert "unknown hook durable_ciphr" in (given[2].refusal or "")


def test_a_registry_with_a_refusal_hands_nothing_out() -> None:
    registry = Registry.of(
        durable_aead.plugin,
        offering("durable_ciphr"),
        strict=False,
    )
    for look_up in (
        lambda: registry.cipher("xaes-256-gcm"),
        registry.ciphers,
        lambda: registry.backend("sqlite"),
        lambda: registry.exporter("otel"),
    ):
        with pytest.raises(PluginConflict, match="unknown hook durable_ciphr"):
            look_up()


def test_objects_and_classes_can_be_plugins_too() -> None:
    class Plugin:
        @hookimpl
        def durable_metrics_exporters(self) -> list[Provided[Any]]:
            return [Provided("line", Everything)]

    assert isinstance(Registry.of(Plugin()).exporter("line"), Everything)
    with pytest.raises(PluginError, match=r"Plugin' \(given by the program\)"):
        Registry.of(Plugin)


def test_nothing_is_found_or_imported_before_discover_is_called() -> None:
    program = (
        "import sys, durable_core.registry\n"
        "bad = {'durable_aead', 'durable_otel', 'durable_sqlite'} & set(sys.modules)\n"
        "sys.exit(f'imported: {bad}' if bad else 0)"
    )
    child = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert child.returncode == 0, child.stderr


@pytest.mark.entrypoints
def test_what_is_installed_is_usable() -> None:
    registry = Registry.discover()
    assert all(info.usable for info in registry.describe())
    assert registry.cipher("xaes-256-gcm") is registry.ciphers()[0x01]
    assert registry.backend("sqlite").name == "sqlite"
