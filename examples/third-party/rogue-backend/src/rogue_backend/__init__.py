"""An example of a storage backend that durable-core refuses. Importing any of it leaves a mark."""

from rogue_backend.backend import RogueBackend

__all__ = ["RogueBackend"]
