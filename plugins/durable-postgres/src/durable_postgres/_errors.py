"""Driver errors, translated at the edge into the errors of durable-core.

Messages hold the address without its password and Postgres's name and code of the condition, never
SQL, parameters or values (INV-5). The driver's error is not chained, not even as context: its text
shows the values that a constraint refused, or a URL that it could not read.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Awaitable
from typing import Final, TypeVar

import asyncpg

from durable_core.errors import DurableError, JournalUnavailable, TransientStoreError
from durable_core.storage.refusals import rejected, unusable, unusable_url

__all__ = ["NO_SCHEMA", "POOLED", "NotAllowed", "connecting", "opening", "running"]

T = TypeVar("T")

POOLED: Final = (
    "it is behind a pooler that lends a server connection for one transaction only, and session "
    "locks, prepared statements and LISTEN need one for the whole session; connect to the server "
    "itself, or use session mode"
)
NO_SCHEMA: Final = "there is no schema to keep tables in; set search_path, or create the schema"
_DRIVER: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    EOFError,
)
_CUT_OFF: Final = ("08", "57P01", "57P02", "57P05", "25P03", "40003")
"""The session is over, or says itself that it does not know: the commit may have happened."""

_TRANSIENT: Final = ("40", "55P03", "57P03", "57014", "53300", "25006")
"""Rollbacks, lock waits, a start, too many connections, a server that a failover left read-only."""

_REJECTED: Final = ("22", "23", "54")

_UNUSABLE: Final = {
    "26000": POOLED,
    "42P05": POOLED,
    "28": "the server refuses this user: check user, password, TLS and the server's pg_hba.conf",
    "3D000": "there is no such database; create it, or correct the URL",
    "3F000": NO_SCHEMA,
    "42501": "this user has no right to what it needs; grant it CREATE on the schema, or the use "
    "of the journal's tables",
}
_REMEDIES: Final = {
    **_UNUSABLE,
    "42P01": "it is no whole journal, a table is missing; restore it from a backup",
    "42703": "it is no whole journal, a column is missing; restore it from a backup",
    "53100": "the disk of the server is full; free disk space",
    "53": "the server is short of a resource; give it more",
    "58": "the server cannot read or write its files; check its disk",
    "XX001": "it is damaged; stop using it and restore a backup",
    "XX002": "an index is damaged; rebuild it with REINDEX, or restore a backup",
}


class NotAllowed(JournalUnavailable):
    """The role has no right to what was asked."""


async def running(address: str, work: Awaitable[T]) -> T:
    """The result of what an open connection does; where that breaks, the outcome is unknown."""
    try:
        return await work
    except _DRIVER as error:
        failure = _translated(error, address, sent=True)
    raise failure


async def connecting(address: str, work: Awaitable[T]) -> T:
    """The result of making a connection anew: nothing was sent yet that could have landed."""
    try:
        return await work
    except _DRIVER as error:
        failure = _translated(error, address, sent=False)
    except (ValueError, OverflowError) as error:
        failure = _malformed(error, address)
    raise failure


async def opening(url: str, address: str, work: Awaitable[T]) -> T:
    """The result of the first use of a database, with `ConfigError` where that cannot succeed."""
    try:
        return await work
    except asyncpg.PostgresError as error:
        failure = _refused(error, address)
    except (asyncpg.InternalClientError, OSError, EOFError) as error:
        failure = _unreachable(error, url, address)
    except (asyncpg.InterfaceError, ValueError, OverflowError) as error:
        failure = _malformed(error, address)
    raise failure


def _translated(error: Exception, address: str, *, sent: bool) -> DurableError:
    code = getattr(error, "sqlstate", None) or ""
    what = f"{type(error).__name__} {code}".rstrip()
    if not isinstance(error, asyncpg.PostgresError) or code.startswith(_CUT_OFF):
        message = f"the connection to {address} was lost ({what})"
        return TransientStoreError(message, landed_unknown=sent)
    if code.startswith(_TRANSIENT) or isinstance(error, asyncpg.InvalidCachedStatementError):
        return TransientStoreError(f"{address} could not do it just now ({what}); try again")
    if code.startswith(_REJECTED):
        return rejected(address, what)
    failure = unusable(address, f"{_remedy(code, _REMEDIES)} ({what})")
    return NotAllowed(str(failure)) if code == "42501" else failure


def _refused(error: asyncpg.PostgresError, address: str) -> DurableError:
    code = error.sqlstate or ""
    what = f"{type(error).__name__} {code}".rstrip()
    if code.startswith(tuple(_UNUSABLE)):
        return unusable_url(address, f"{_remedy(code, _UNUSABLE)} ({what})")
    if code.startswith((*_CUT_OFF, *_TRANSIENT)):
        message = f"{address} takes no connections just now ({what}); check the server, try again"
        return JournalUnavailable(message)
    return _translated(error, address, sent=False)


def _remedy(code: str, remedies: dict[str, str]) -> str:
    fitting = [prefix for prefix in remedies if code.startswith(prefix)]
    return remedies[fitting[0]] if fitting else "Postgres reports what it does not name"


def _malformed(error: Exception, address: str) -> DurableError:
    remedy = (
        f"the URL, or a PG* variable, is not what it should be ({type(error).__name__}); write "
        "postgres://user:password@host:port/database, with special characters escaped as %XX"
    )
    return unusable_url(address, remedy)


def _unreachable(error: Exception, url: str, address: str) -> DurableError:
    if isinstance(error, ssl.SSLError) or "SSL" in str(error) or _misses_a_certificate(error, url):
        reason = getattr(error, "verify_message", None) or type(error).__name__
        remedy = (
            f"TLS failed ({reason}); check sslmode, sslrootcert and the certificate of the server, "
            "and whether it speaks TLS at all"
        )
        return unusable_url(address, remedy)
    what = getattr(error, "strerror", None) or type(error).__name__
    message = (
        f"cannot reach {address} at {_place(url)}: {what}; check host and port, and that the "
        "server runs and accepts connections"
    )
    return JournalUnavailable(message)


def _misses_a_certificate(error: Exception, url: str) -> bool:
    """Whether a file that is not there, or not readable, is one of TLS and not the socket."""
    asked = "ssl" in url or any(name.startswith("PGSSL") for name in os.environ)
    return asked and isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError))


def _place(url: str) -> str:
    """Host and port, from where the driver takes them."""
    authority = re.sub(r"[/?].*", "", url.partition("://")[2])
    given = authority.rpartition("@")[2]
    host = given or os.environ.get("PGHOST") or "the local socket or localhost"
    return host if re.search(r":\d+$", host) else f"{host}:{os.environ.get('PGPORT', '5432')}"
