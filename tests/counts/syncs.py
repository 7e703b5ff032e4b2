"""Counts what SQLite asks of the operating system to make durable: calls of `xSync`, by file.

A file of SQLite is a table of functions. While the block lasts, every file that is opened gets a
copy of its table in which `xSync` counts and then goes on to the real one, which is one `fsync` or
`fdatasync`. Nothing else is changed, and everything is written and synced as ever.
"""

from __future__ import annotations

import _sqlite3
import ctypes
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_int, c_void_p
from pathlib import Path
from typing import Any, Final

__all__ = ["Syncs", "counted_syncs"]

_OK: Final = 0
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    """`sqlite3_vfs` (sqlite3.h), of which only `xOpen` is of interest here."""

    _fields_ = (
        *((name, c_int) for name in ("iVersion", "szOsFile", "mxPathname")),
        *((name, c_void_p) for name in ("pNext", "zName", "pAppData", "xOpen")),
        ("rest", c_void_p * 15),
    )


class _Methods(Structure):
    """`sqlite3_io_methods`, of which only `xSync` is."""

    _fields_ = (
        ("iVersion", c_int),
        *((name, c_void_p) for name in ("xClose", "xRead", "xWrite", "xTruncate", "xSync")),
        ("rest", c_void_p * 13),
    )


class Syncs:
    """How often each file was synced, by its name without the folder."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()
        self._kept: list[Any] = []  # SQLite holds pointers to these until its files are closed

    @property
    def total(self) -> int:
        """Over all files."""
        return self.of.total()

    def opening(self, real: Callable[..., int]) -> Any:
        """An `xOpen` behind which `xSync` counts."""

        def open_file(vfs: int, name: int | None, file: int, flags: int, out: int | None) -> int:
            status = real(vfs, name, file, flags, out)
            methods = c_void_p.from_address(file)
            if status == _OK and methods.value:
                methods.value = self._counting(methods.value, _name_at(name))
            return status

        return self._keep(_Open(open_file))

    def _counting(self, methods: int, name: str) -> int:
        copy = self._keep(_Methods.from_buffer_copy(_Methods.from_address(methods)))
        real: Callable[[int, int], int] = _Sync(copy.xSync)

        def sync(file: int, flags: int) -> int:
            self.of[name] += 1
            return real(file, flags)

        copy.xSync = ctypes.cast(self._keep(_Sync(sync)), c_void_p).value
        return ctypes.addressof(copy)

    def _keep(self, what: Any) -> Any:
        self._kept.append(what)
        return what


def _name_at(address: int | None) -> str:
    """The pointer itself has to be handed on: SQLite keeps more behind the name."""
    return Path(ctypes.string_at(address).decode()).name if address else ""


@contextmanager
def counted_syncs() -> Iterator[Syncs]:
    """Count for every connection that is opened in the block, and is closed before its end."""
    # Either has the symbols of the SQLite that it is linked to: the module, or the interpreter.
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_vfs_find.restype = POINTER(_Vfs)
    syncs = Syncs()
    vfs = _Vfs.from_buffer_copy(library.sqlite3_vfs_find(None).contents)
    name = ctypes.create_string_buffer(b"counting")
    vfs.zName = ctypes.addressof(name)
    opening = syncs.opening(_Open(vfs.xOpen))
    vfs.xOpen = ctypes.cast(opening, c_void_p).value
    assert library.sqlite3_vfs_register(ctypes.byref(vfs), 1) == _OK
    try:
        yield syncs
    finally:
        assert library.sqlite3_vfs_unregister(ctypes.byref(vfs)) == _OK
