"""The closed set of storage backends (INV-19), as data.

The engine's guarantees are proved against a known set of backends, so the set is closed. This is
no defence against code that already runs in the process: such code can do whatever it likes.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["ALLOWED_BACKENDS", "BackendPlace", "may_define_backend"]


@frozen
class BackendPlace:
    """Where a backend of one name may come from."""

    distribution: str
    package: str


ALLOWED_BACKENDS: Final = {
    "sqlite": BackendPlace("durable-sqlite", "durable_sqlite"),
    "postgres": BackendPlace("durable-postgres", "durable_postgres"),
}
"""Backend name → the one distribution and import package that may provide it."""


def may_define_backend(module: str) -> bool:
    """Whether a class in `module` may subclass the backend contract."""
    package = module.partition(".")[0]
    return package == "durable_core" or any(
        package == place.package for place in ALLOWED_BACKENDS.values()
    )
