"""Plugins that fail in unusual ways: each is a refusal with its name, and no end of the process."""

from __future__ import annotations

from typing import Any

import pytest

from durable_core.errors import PluginConflict, PluginError
from durable_core.hookspecs import Provided, hookimpl
from durable_core.registry import Registry
from tests.unit.fabricated import PLUGINS, Site
from tests.unit.offered import CANARY, LOOK_UPS, Cipher, Factory, offering

EXITS = """
    from durable_core.hookspecs import Provided, hookimpl

    raise SystemExit("canary-51c07e")
"""


class Moody:
    """A cipher of which one property fails, at the first reading or only at a later one."""

    overhead: Any = 28

    def __init__(self, broken: str, after: int) -> None:
        self._broken, self._left = broken, after

    def _read(self, member: str, value: Any) -> Any:
        if member == self._broken:
            self._left -= 1
            if self._left < 0:
                raise ZeroDivisionError(CANARY)
        return value

    @property
    def name(self) -> Any:
        return self._read("name", "toy")

    @property
    def format_byte(self) -> Any:
        return self._read("format_byte", 0x90)

    def bind(self, _key: bytes) -> None: ...


def refused(registry: Registry) -> str:
    """The one refusal, in the words of `durable plugins`."""
    (why,) = [info.refusal for info in registry.describe() if info.refusal is not None]
    assert CANARY not in why
    return why


def test_an_import_that_ends_the_process_is_refused(site: Site) -> None:
    site.add("leaver", PLUGINS, {"leaver": "leaver_plugin"}, {"leaver_plugin": EXITS})
    assert "cannot be imported (SystemExit)" in refused(Registry.discover(strict=False))
    with pytest.raises(PluginError, match=r"leaver .*cannot be imported \(SystemExit\)"):
        Registry.discover()


@pytest.mark.parametrize("late", [True, False])
def test_a_hook_that_ends_the_process_is_refused(*, late: bool) -> None:
    class Leaver:
        @hookimpl
        def durable_metrics_exporters(self) -> Any:
            if late:
                return self.answers()
            raise SystemExit(CANARY)

        def answers(self) -> Any:
            yield Provided("zz", object)
            raise SystemExit(CANARY)

    with pytest.raises(PluginError, match=r"hook durable_metrics_exporters .*\(SystemExit\)"):
        Registry.of(Leaver())


@pytest.mark.parametrize("hook", sorted(LOOK_UPS))
def test_a_factory_that_ends_the_process_is_refused(hook: str) -> None:
    def leave() -> object:
        raise SystemExit(CANARY)

    registry = Registry.of(offering(hook, Provided("chosen", Factory(leave))))
    with pytest.raises(PluginError, match=r"'chosen' .*cannot be made \(SystemExit\)"):
        LOOK_UPS[hook](registry, "chosen")


@pytest.mark.parametrize("name", [5, None, b"toy", ["toy"]])
def test_a_name_that_is_no_text_is_refused_and_listed(name: Any) -> None:
    plugins = [
        offering("durable_metrics_exporters", Provided(name, object), name="odd.plugin"),
        offering("durable_metrics_exporters", Provided("fine", object)),
    ]
    assert "by a name that is not a plugin's name" in refused(Registry.of(*plugins, strict=False))
    with pytest.raises(PluginConflict, match=r"odd\.plugin"):
        Registry.of(*plugins)


@pytest.mark.parametrize("member", ["name", "format_byte"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_property_that_raises_is_refused(member: str, after: int) -> None:
    plugin = offering("durable_ciphers", Provided("toy", lambda: Moody(member, after)))
    assert "(ZeroDivisionError)" in refused(Registry.of(plugin, strict=False))


def test_a_format_byte_is_read_while_it_is_checked_and_never_again() -> None:
    plugin = offering("durable_ciphers", Provided("toy", lambda: Moody("format_byte", 2)))
    assert list(Registry.of(plugin).ciphers()) == [0x90]


@pytest.mark.parametrize("overhead", [None, -1, True, "28"])
def test_an_overhead_that_is_no_count_is_refused(overhead: Any) -> None:
    plugin = offering("durable_ciphers", Provided("toy", lambda: Cipher(overhead=overhead)))
    with pytest.raises(PluginConflict, match="overhead that is no byte count"):
        Registry.of(plugin)
