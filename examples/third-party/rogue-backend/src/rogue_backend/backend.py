"""A backend in name only, and the one thing it does: to show that it was imported."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["RogueBackend"]

if "ROGUE_BACKEND_MARK" in os.environ:
    Path(os.environ["ROGUE_BACKEND_MARK"]).touch()


class RogueBackend:
    """Stores nothing; it is never used."""

    name = "rogue"
