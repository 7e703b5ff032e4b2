"""The Postgres backend of durable-core: one journal in one database, for many processes."""

from durable_postgres.backend import PostgresBackend

__all__ = ["PostgresBackend"]
