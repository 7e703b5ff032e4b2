"""Look-up by name, what is checked before anything is handed out, and what each refusal says."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import durable_aead.plugin
from durable_core.errors import ConfigError, PluginConflict, PluginError, PluginNotFound
from durable_core.hookspecs import CONTRACT_VERSION, Provided, hookimpl
from durable_core.registry import Registry
from tests.unit.fabricated import PLUGINS, Site
from tests.unit.offered import (
    CANARY,
    CIPHER_MODULE,
    LOOK_UPS,
    Cipher,
    Everything,
    Factory,
    check_selection,
    cipher_plugin,
    failing,
    offering,
)


def test_hook_durable_ciphers_gives_ciphers_by_name_and_by_format_byte() -> None:
    factory = Factory(Cipher)
    registry = Registry.of(
        offering("durable_ciphers", Provided("toy", factory)),
        cipher_plugin("other", 0xFF),
        durable_aead.plugin,
    )
    toy = registry.cipher("toy")
    assert toy is registry.cipher("toy")
    assert factory.calls == 1
    ciphers = registry.ciphers()
    assert {byte: cipher.name for byte, cipher in ciphers.items()} == {
        0x01: "xaes-256-gcm",
        0x80: "toy",
        0xFF: "other",
    }
    assert ciphers[0x80] is toy


def test_hook_durable_key_providers_is_selected_by_name() -> None:
    check_selection("durable_key_providers")


def test_hook_durable_metrics_exporters_is_selected_by_name() -> None:
    check_selection("durable_metrics_exporters")


def test_hook_durable_audit_sinks_is_selected_by_name() -> None:
    check_selection("durable_audit_sinks")


def test_each_hook_fires_once_for_each_registry() -> None:
    fired: list[str] = []
    plugin = ModuleType("someone.plugin")
    for hook in ("durable_ciphers", *LOOK_UPS):
        setattr(plugin, hook, hookimpl(lambda hook=hook: fired.append(hook)))
    registry = Registry.of(plugin)
    registry.ciphers()
    registry.describe()
    assert sorted(fired) == sorted(["durable_ciphers", *LOOK_UPS])


def test_one_name_may_stand_for_things_of_different_kinds() -> None:
    registry = Registry.of(
        cipher_plugin("both"),
        offering("durable_metrics_exporters", Provided("both", Everything)),
    )
    assert registry.cipher("both").name == "both"
    assert isinstance(registry.exporter("both"), Everything)


@pytest.mark.parametrize(
    ("look_up", "name", "package"),
    [
        (Registry.backend, "sqlite", "durable-sqlite"),
        (Registry.backend, "postgres", "durable-postgres"),
        (Registry.cipher, "xaes-256-gcm", "durable-aead"),
        (Registry.exporter, "otel", "durable-otel"),
        (Registry.exporter, "prometheus", "durable-prometheus"),
    ],
)
def test_ec_41_a_missing_package_is_named(
    site: Site,
    look_up: Callable[[Registry, str], object],
    name: str,
    package: str,
) -> None:
    assert site.folder.is_dir()
    with pytest.raises(PluginNotFound, match=rf"{name}.*`pip install {package}` \(installed: none"):
        look_up(Registry.discover(), name)


def test_an_unknown_name_is_answered_with_the_nearest_one_and_all_installed() -> None:
    registry = Registry.of(cipher_plugin("toy"), cipher_plugin("shiny", 0x81))
    with pytest.raises(PluginNotFound, match=r"'tay'; did you mean 'toy'.*installed: shiny, toy"):
        registry.cipher("tay")
    with pytest.raises(PluginNotFound, match=r"no key provider is called 'vault'.*installed: none"):
        registry.key_provider("vault")
    with pytest.raises(PluginNotFound, match=r"did you mean 'postgres'\? the set .* is closed"):
        registry.backend("postgresql")


def test_ec_41_two_plugins_of_one_name_are_both_named(site: Site) -> None:
    for number, distribution in enumerate(("first-toy", "second-toy")):
        module = distribution.replace("-", "_")
        source = CIPHER_MODULE.format(byte=0x80 + number)
        site.add(distribution, PLUGINS, {"toy": module}, {module: source})
    with pytest.raises(PluginConflict, match=r"cipher.*same name.*first-toy 1\.0.*second-toy 1\.0"):
        Registry.discover()
    refused = Registry.discover(strict=False).describe()
    assert [(info.distribution, info.usable) for info in refused] == [
        ("first-toy", False),
        ("second-toy", False),
    ]


def test_ec_41_two_ciphers_of_one_format_byte_are_both_named() -> None:
    with pytest.raises(PluginConflict, match=r"same format byte: 'one' .* and 'two' "):
        Registry.of(cipher_plugin("one", 0x90), cipher_plugin("two", 0x90))


def test_ec_41_an_unknown_hook_is_named() -> None:
    with pytest.raises(PluginConflict, match=r"'someone.plugin'.*unknown hook durable_cipher;"):
        Registry.of(offering("durable_cipher", Provided("toy", Cipher)))


def test_ec_41_a_hook_with_arguments_is_refused() -> None:
    plugin = ModuleType("someone.plugin")
    setattr(plugin, "durable_ciphers", hookimpl(lambda config: config))  # noqa: B010
    with pytest.raises(PluginConflict, match="argument that no hook has") as refused:
        Registry.of(plugin)
    assert refused.value.__cause__ is not None


def test_ec_41_a_forgotten_mark_is_found() -> None:
    plugin = ModuleType("someone.plugin")
    setattr(plugin, "durable_ciphers", list)  # noqa: B010
    with pytest.raises(PluginConflict, match="marks no function with @hookimpl"):
        Registry.of(plugin)


@pytest.mark.parametrize("hook", ["durable_ciphers", *LOOK_UPS])
def test_ec_41_a_wrong_contract_version_is_refused_before_anything_is_made(hook: str) -> None:
    factory = Factory(Everything)
    with pytest.raises(
        PluginConflict, match=r"'toy' .* contract 2, this durable-core has contract"
    ):
        Registry.of(offering(hook, Provided("toy", factory, CONTRACT_VERSION + 1)))
    assert factory.calls == 0


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x02, 0x7F, 0x100, -1, True, "0x80", None])
def test_a_third_party_cipher_has_a_format_byte_of_its_own_range(byte: object) -> None:
    with pytest.raises(PluginConflict, match="format byte"):
        Registry.of(cipher_plugin(byte=byte))


@pytest.mark.parametrize("distribution", ["durable-aead", "Durable_AEAD", "durable.aead"])
def test_format_byte_1_belongs_to_durable_aead(site: Site, distribution: str) -> None:
    site.add(distribution, PLUGINS, {"aead": "durable_aead.plugin"})
    assert Registry.discover().ciphers()[0x01].name == "xaes-256-gcm"


def test_format_byte_1_is_refused_to_everybody_else(site: Site) -> None:
    site.add("durable-aead-2", PLUGINS, {"aead": "durable_aead.plugin"})
    with pytest.raises(PluginConflict, match=r"durable-aead-2 1\.0 claims format byte 0x01"):
        Registry.discover()


def test_a_cipher_calls_itself_as_it_is_offered() -> None:
    with pytest.raises(PluginConflict, match="cipher 'toy', which calls itself otherwise"):
        Registry.of(offering("durable_ciphers", Provided("toy", lambda: Cipher("other"))))


@pytest.mark.parametrize("name", ["", "two words", "-x", None])
def test_a_name_that_no_setting_could_select_is_refused(name: Any) -> None:
    with pytest.raises(PluginConflict, match="by a name that is not a plugin's name"):
        Registry.of(offering("durable_audit_sinks", Provided(name, Everything)))


@pytest.mark.parametrize("hook", sorted(LOOK_UPS))
def test_an_object_that_lacks_a_member_of_its_contract_is_refused(hook: str) -> None:
    registry = Registry.of(offering(hook, Provided("toy", object)))
    with pytest.raises(PluginConflict, match=r"'toy' .* lacks (load|(prepare, )?record, close)$"):
        LOOK_UPS[hook](registry, "toy")


def test_a_cipher_that_lacks_a_member_is_refused() -> None:
    with pytest.raises(PluginConflict, match="lacks name, format_byte, overhead, bind"):
        Registry.of(offering("durable_ciphers", Provided("toy", object)))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: [Cipher()], "returned Cipher; it must return an iterable of Provided"),
        (lambda: 7, r"hook durable_ciphers .* failed \(TypeError\)"),
        (failing(ValueError(CANARY)), r"hook durable_ciphers .* failed \(ValueError\)"),
    ],
    ids=["items", "no-iterable", "raises"],
)
def test_a_hook_that_misbehaves_is_named(answer: Callable[[], object], error: str) -> None:
    plugin = ModuleType("someone.plugin")
    setattr(plugin, "durable_ciphers", hookimpl(answer))  # noqa: B010
    with pytest.raises(PluginError, match=error):
        Registry.of(plugin)


def test_inv_05_a_factory_that_raises_is_named_and_its_text_is_not_shown() -> None:
    cause = ValueError(CANARY)
    registry = Registry.of(
        offering("durable_metrics_exporters", Provided("line", failing(cause))),
        offering("durable_key_providers", Provided("vault", failing(ConfigError("set VAULT_URL")))),
    )
    with pytest.raises(
        PluginError, match=r"exporter 'line' .*cannot be made \(ValueError"
    ) as raised:
        registry.exporter("line")
    assert raised.value.__cause__ is cause
    assert CANARY not in str(raised.value)
    with pytest.raises(PluginError, match=r"\(ConfigError: set VAULT_URL\)"):
        registry.key_provider("vault")
