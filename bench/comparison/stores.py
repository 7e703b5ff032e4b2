"""What somebody with the files of a store and no key can see in them, and change."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.comparison.sides import Rows

__all__ = ["delete", "edit", "files_of", "found"]

_GIVEN: Final = frozenset({"restate.toml", "restate.log"})
"""What the bench puts beside the files of a server: its configuration, and what it prints."""
_ALIGNMENTS: Final = 3
_GROUP: Final = 4
_BEFORE: Final = b"alice"
_AFTER: Final = b"mally"


def files_of(store: Path) -> list[Path]:
    """Every file that the engine wrote below the folder."""
    return sorted(path for path in store.rglob("*") if path.is_file() and path.name not in _GIVEN)


def found(store: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Each of the secrets that a file has, and how: in clear, or as base64."""
    contents = [path.read_bytes() for path in files_of(store)]
    seen: dict[str, str] = {}
    for kind, secret in secrets.items():
        forms = {"in clear": [secret.encode()], "as base64": [*_in_base64(secret.encode())]}
        for how, needles in forms.items():
            if any(needle in content for needle in needles for content in contents):
                seen.setdefault(kind, how)
    return seen


def edit(store: Path, rows: Rows) -> str:
    """Change the stored result of `charge` by hand; what was done to it.

    Another name is written into it where its text can be read, as it is or behind base64, so that
    it stays well formed. Where nothing can be read, its last byte is changed.
    """
    select = f"SELECT {rows.column} FROM {rows.table} WHERE {rows.where}"  # noqa: S608 - ours
    update = f"UPDATE {rows.table} SET {rows.column} = ? WHERE {rows.where}"  # noqa: S608 - ours
    with closing(sqlite3.connect(store / rows.file)) as connection, connection:
        ((stored,),) = connection.execute(select).fetchall()
        changed, how = _changed(stored.encode() if isinstance(stored, str) else stored)
        connection.execute(update, (changed.decode() if isinstance(stored, str) else changed,))
    return how


def delete(store: Path, rows: Rows) -> int:
    """Delete the stored result of `charge`; how many rows went."""
    statement = f"DELETE FROM {rows.table} WHERE {rows.where}"  # noqa: S608 - ours
    with closing(sqlite3.connect(store / rows.file)) as connection, connection:
        return connection.execute(statement).rowcount


def _changed(stored: bytes) -> tuple[bytes, str]:
    if _BEFORE in stored:
        return stored.replace(_BEFORE, _AFTER), f"`{_BEFORE.decode()}` made `{_AFTER.decode()}`"
    try:
        plain = base64.b64decode(stored, validate=True)
    except ValueError:
        plain = b""
    if _BEFORE in plain:
        changed = base64.b64encode(plain.replace(_BEFORE, _AFTER))
        return changed, f"`{_BEFORE.decode()}` made `{_AFTER.decode()}` behind base64"
    return stored[:-1] + bytes((stored[-1] ^ 1,)), "nothing to read in it; its last byte changed"


def _in_base64(secret: bytes) -> Iterator[bytes]:
    """What base64 makes of it wherever it stands, less what depends on its neighbours."""
    for before in range(_ALIGNMENTS):
        text = base64.b64encode(bytes(before) + secret)
        whole = (before + len(secret)) // _ALIGNMENTS * _GROUP
        yield text[_GROUP if before else 0 : whole]
