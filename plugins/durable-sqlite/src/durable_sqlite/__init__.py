"""The SQLite backend of durable-core: one journal in one file."""

from durable_sqlite.backend import LocalBackend

__all__ = ["LocalBackend"]
