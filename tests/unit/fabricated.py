"""Distributions that exist for one test: metadata, entry points and modules in a folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Final

from attrs import field, frozen

PLUGINS: Final = "durable_core.plugins"
BACKENDS: Final = "durable_core.backends"

_INSTALLED: Final = ("site-packages", "dist-packages")


@frozen
class Site:
    """A folder on `sys.path`, in which the test's own distributions are the only ones."""

    folder: Path
    _shadowed: dict[str, ModuleType] = field(factory=dict)

    def add(
        self,
        distribution: str | None,
        group: str,
        entries: Mapping[str, str],
        modules: Mapping[str, str] | None = None,
    ) -> None:
        """Install a distribution (None: one that does not say its name) in version 1.0."""
        info = self.folder / f"{(distribution or 'nameless').replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        name = "" if distribution is None else f"Name: {distribution}\n"
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\n{name}Version: 1.0\n")
        lines = [f"{entry} = {value}" for entry, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        for module, source in (modules or {}).items():
            self._write(module, source)
        importlib.invalidate_caches()

    def marking(self, module: str) -> tuple[str, Path]:
        """Source of a module that writes a file when it is imported, and that file."""
        mark = self.folder / f"{module}.imported"
        return f"from pathlib import Path\nPath({str(mark)!r}).touch()\n", mark

    def _write(self, module: str, source: str) -> None:
        package, _, rest = module.partition(".")
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            self._shadowed[name] = sys.modules.pop(name)
        place = self.folder / package
        place.mkdir(exist_ok=True)
        (place / "__init__.py").touch()
        (place / f"{rest or '__init__'}.py").write_text(dedent(source))

    def _leave(self) -> None:
        """Put back the modules that stood in `sys.modules` before the test's own."""
        for name in [name for name, module in sys.modules.items() if self._holds(module)]:
            del sys.modules[name]
        sys.modules.update(self._shadowed)

    def _holds(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        return file is not None and self.folder in Path(file).parents


@contextmanager
def isolated(folder: Path) -> Iterator[Site]:
    """A site in `folder`; while it stands, nothing that is really installed is found."""
    before = sys.path[:]
    site = Site(folder)
    sys.path[:] = [str(folder), *(path for path in before if not path.endswith(_INSTALLED))]
    try:
        yield site
    finally:
        sys.path[:] = before
        site._leave()
        importlib.invalidate_caches()
