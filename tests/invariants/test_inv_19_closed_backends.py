"""INV-19: the set of backends is closed; ciphers, keys, exporters and audit sinks are open."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from durable_core.contracts import ExecutionBackend
from durable_core.contracts.allowlist import ALLOWED_BACKENDS
from durable_core.discovery import installed_backends, scan
from durable_core.errors import BackendNotAllowed
from durable_core.registry import PluginKind, Registry
from tests.unit.fabricated import BACKENDS, PLUGINS, Site, isolated

OFFENDERS = {
    "a name that is not on the list": ("rogue", "rogue-backend", "rogue_backend"),
    "a listed name from another distribution": ("sqlite", "rogue-backend", "durable_sqlite"),
    "a listed name from another package": ("sqlite", "durable-sqlite", "rogue_backend"),
    "a listed name from another listed place": ("sqlite", "durable-postgres", "durable_postgres"),
    "another name from a listed distribution": ("sqlite2", "durable-sqlite", "durable_sqlite"),
    "a package that only begins like a listed one": ("sqlite", "durable-sqlite", "durable_sqlite2"),
    "a distribution that does not say its name": ("sqlite", None, "durable_sqlite"),
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An environment in which nothing is installed but what the test adds."""
    with isolated(tmp_path) as site:
        yield site


def install(site: Site, name: str, distribution: str | None, package: str) -> Path:
    """A distribution with that backend, and the file that its module writes when imported."""
    source, mark = site.marking(package)
    site.add(distribution, BACKENDS, {name: f"{package}:Backend"}, {package: source})
    return mark


@pytest.mark.parametrize("case", sorted(OFFENDERS))
@pytest.mark.parametrize("open_registry", [Registry.discover, Registry.of], ids=["discover", "of"])
def test_ec_40_a_backend_that_is_not_allowed_is_refused_and_not_imported(
    site: Site,
    case: str,
    open_registry: Callable[[], Registry],
) -> None:
    name, distribution, package = OFFENDERS[case]
    mark = install(site, name, distribution, package)
    with pytest.raises(BackendNotAllowed) as refused:
        open_registry()
    message = str(refused.value)
    assert f"backend {name!r} of {distribution or 'unknown'} " in message
    for listed, place in ALLOWED_BACKENDS.items():
        assert f"{listed!r} of {place.distribution} (package {place.package})" in message
    assert not mark.exists()
    importlib.import_module(package)
    assert mark.exists(), "the module would not have told"


def test_ec_40_with_an_offender_installed_no_engine_opens_whatever_it_uses(site: Site) -> None:
    """A registry that was made to be listed hands nothing out either, and imports nothing."""
    good = install(site, "sqlite", "durable-sqlite", "durable_sqlite")
    bad = install(site, "rogue", "rogue-backend", "rogue_backend")
    registry = Registry.discover(strict=False)
    for look_up in (
        lambda: registry.backend("sqlite"),
        lambda: registry.backend("rogue"),
        lambda: registry.cipher("xaes-256-gcm"),
        registry.ciphers,
        lambda: registry.key_provider("vault"),
        lambda: registry.exporter("otel"),
        lambda: registry.audit_sink("log"),
    ):
        with pytest.raises(BackendNotAllowed, match="rogue-backend"):
            look_up()
    assert not good.exists()
    assert not bad.exists()


def test_ec_40_an_offender_is_told_before_any_other_trouble(site: Site) -> None:
    site.add("broken-toy", PLUGINS, {"a": "broken_toy"}, {"broken_toy": "raise OSError"})
    install(site, "rogue", "rogue-backend", "rogue_backend")
    registry = Registry.discover(strict=False)
    assert [info.usable for info in registry.describe()] == [False, False]
    with pytest.raises(BackendNotAllowed, match="rogue-backend"):
        registry.ciphers()


def test_ec_40_a_refused_entry_point_does_not_load(site: Site) -> None:
    """The last gate, should anything ever lead past the registry."""
    mark = install(site, "rogue", "rogue-backend", "rogue_backend")
    (installed,) = installed_backends(scan())
    with pytest.raises(BackendNotAllowed, match="rogue-backend"):
        installed.load()
    assert not mark.exists()


def test_ec_40_an_offender_is_refused_before_any_plugin_is_imported(site: Site) -> None:
    source, mark = site.marking("toy_cipher")
    site.add("toy-cipher", PLUGINS, {"toy": "toy_cipher"}, {"toy_cipher": source})
    install(site, "rogue", "rogue-backend", "rogue_backend")
    with pytest.raises(BackendNotAllowed):
        Registry.discover()
    assert not mark.exists()


def test_ec_40_the_refused_backend_is_listed_with_the_reason(site: Site) -> None:
    install(site, "sqlite", "durable-sqlite", "durable_sqlite")
    install(site, "rogue", "rogue-backend", "rogue_backend")
    rogue, sqlite = Registry.discover(strict=False).describe()
    assert (sqlite.kind, sqlite.name, sqlite.usable) == (PluginKind.BACKEND, "sqlite", True)
    assert (rogue.kind, rogue.name, rogue.usable) == (PluginKind.BACKEND, "rogue", False)
    assert (rogue.distribution, rogue.version) == ("rogue-backend", "1.0")
    assert re.search("not allowed, and its code was not imported", rogue.refusal or "")


@pytest.mark.parametrize("distribution", ["durable-sqlite", "Durable_SQLite", "durable.sqlite"])
def test_inv_19_the_listed_place_is_allowed_however_its_name_is_spelt(
    site: Site,
    distribution: str,
) -> None:
    install(site, "sqlite", distribution, "durable_sqlite")
    (found,) = Registry.discover().describe()
    assert found.usable


@pytest.mark.parametrize(
    "module", ["rogue_backend", "durable_sqlite2", "durable_corex.backend", ""]
)
def test_inv_19_a_backend_class_outside_the_allowed_packages_cannot_be_created(module: str) -> None:
    with pytest.raises(BackendNotAllowed, match="durable_postgres, durable_sqlite"):
        type("Backend", (ExecutionBackend,), {"__module__": module})


@pytest.mark.parametrize("module", ["durable_sqlite", "durable_postgres.backend", "durable_core.x"])
def test_inv_19_a_backend_class_inside_them_can(module: str) -> None:
    assert issubclass(
        type("Backend", (ExecutionBackend,), {"__module__": module}), ExecutionBackend
    )


def test_inv_19_the_other_kinds_are_open_to_any_distribution(site: Site) -> None:
    source = """
        from durable_core.hookspecs import Provided, hookimpl

        class Anything:
            name, format_byte, overhead = "open", 0xC0, 0
            def bind(self, key): ...
            def load(self): ...
            def prepare(self, specs): ...
            def record(self, *measured): ...
            def close(self): ...

        def offer():
            return [Provided("open", Anything)]

        durable_ciphers = hookimpl(lambda: offer())
        durable_key_providers = hookimpl(lambda: offer())
        durable_metrics_exporters = hookimpl(lambda: offer())
        durable_audit_sinks = hookimpl(lambda: offer())
    """
    site.add("from-anybody", PLUGINS, {"any": "from_anybody"}, {"from_anybody": source})
    registry = Registry.discover()
    assert registry.cipher("open").format_byte == 0xC0
    for look_up in (registry.key_provider, registry.exporter, registry.audit_sink):
        assert type(look_up("open")).__module__ == "from_anybody"
