"""Plugins for tests of the registry: what they offer, and what they do wrong."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from attrs import define, frozen

from durable_core.hookspecs import Provided, hookimpl
from durable_core.registry import Registry

CANARY = "canary-51c07e"

CIPHER_MODULE = """
    from durable_core.hookspecs import Provided, hookimpl

    class Cipher:
        name = "toy"
        format_byte = {byte}
        overhead = 28
        def bind(self, key): ...

    @hookimpl
    def durable_ciphers():
        return [Provided("toy", Cipher)]
"""


OTHER_BACKEND = """
    from durable_core.contracts import ExecutionBackend

    class Backend(ExecutionBackend):
        name = "postgres"
"""


@frozen
class Cipher:
    """The face of a cipher; nothing here seals."""

    name: str = "toy"
    format_byte: Any = 0x80
    overhead: int = 28

    def bind(self, _key: bytes) -> None: ...


@define
class Everything:
    """Has the members of a key provider, an exporter and an audit sink."""

    def load(self) -> None: ...
    def prepare(self) -> None: ...
    def record(self) -> None: ...
    def close(self) -> None: ...


@define
class Factory:
    """Makes one thing and counts how often."""

    make: Callable[[], object]
    calls: int = 0

    def __call__(self) -> object:
        self.calls += 1
        return self.make()


def offering(hook: str, *answer: object, name: str = "someone.plugin") -> ModuleType:
    """A plugin module whose `hook` returns that."""
    plugin = ModuleType(name)
    setattr(plugin, hook, hookimpl(lambda: list(answer)))
    return plugin


def cipher_plugin(name: str = "toy", byte: object = 0x80) -> ModuleType:
    return offering("durable_ciphers", Provided(name, lambda: Cipher(name, byte)))


def failing(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


LOOK_UPS = {
    "durable_key_providers": Registry.key_provider,
    "durable_metrics_exporters": Registry.exporter,
    "durable_audit_sinks": Registry.audit_sink,
}


def check_selection(hook: str) -> None:
    """Only what is asked for is made, and anew at each look-up."""
    chosen, other = Factory(Everything), Factory(Everything)
    registry = Registry.of(offering(hook, Provided("chosen", chosen), Provided("other", other)))
    assert chosen.calls == 0
    first, second = (LOOK_UPS[hook](registry, "chosen") for _ in range(2))
    assert isinstance(first, Everything)
    assert first is not second
    assert (chosen.calls, other.calls) == (2, 0)
