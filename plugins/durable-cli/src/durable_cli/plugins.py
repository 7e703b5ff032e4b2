"""`durable plugins`: what is installed, and what of it cannot be used."""

from __future__ import annotations

import attrs

from durable_cli.output import print_json, print_table
from durable_cli.reporting import note, reporting
from durable_cli.source import JsonOption
from durable_core.registry import PluginInfo, Registry

__all__ = ["plugins"]


def plugins(*, as_json: JsonOption = False) -> None:
    """List every backend, cipher, key provider, exporter and audit sink that is installed."""
    with reporting():
        found = Registry.discover(strict=False).describe()
        if as_json:
            print_json([_as_data(info) for info in found])
            return
        print_table(
            ("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATUS"),
            [_cells(info) for info in found],
        )
        if not found:
            note("no plugins are installed: pip install 'durable-core[local]'")


def _as_data(info: PluginInfo) -> dict[str, object]:
    return attrs.asdict(info) | {"kind": info.kind.value}


def _cells(info: PluginInfo) -> tuple[str, ...]:
    status = "ok" if info.refusal is None else f"refused: {info.refusal}"
    return info.kind.value, info.name, info.distribution, info.version, status
