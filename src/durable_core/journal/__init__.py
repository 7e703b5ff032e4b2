"""The journal's writer, usable on its own: `JournalWriter` and `JournalWriterHandle`."""

from durable_core.journal.handle import JournalWriterHandle
from durable_core.journal.settings import Health, WriterHealth, WriterSettings
from durable_core.journal.writer import JournalWriter

__all__ = ["Health", "JournalWriter", "JournalWriterHandle", "WriterHealth", "WriterSettings"]
