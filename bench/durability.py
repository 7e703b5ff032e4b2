"""What a database says of its durability to the connection that asks: the same text for all.

The programs of the peers import this module where durable-core is not installed.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ON_POSTGRES", "ON_SQLITE"]

ON_SQLITE: Final = """
SELECT 'SQLite ' || sqlite_version() || ', journal_mode ' || upper(journal_mode) || ', synchronous '
    || CASE synchronous WHEN 0 THEN 'OFF' WHEN 1 THEN 'NORMAL' WHEN 2 THEN 'FULL' ELSE 'EXTRA' END
FROM pragma_journal_mode, pragma_synchronous
"""

ON_POSTGRES: Final = """
SELECT 'PostgreSQL ' || current_setting('server_version')
    || ', fsync ' || current_setting('fsync')
    || ', synchronous_commit ' || current_setting('synchronous_commit')
"""
