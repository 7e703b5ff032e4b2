"""The folder of one demonstration: where the orders, the journal and the outside are."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from durable_cli.demo.outside import Outside

__all__ = ["Place"]


@frozen
class Place:
    """The folder, resolved, so that it means the same in every process."""

    folder: Path

    @property
    def orders(self) -> Path:
        """The orders of this run."""
        return self.folder / "orders.csv"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "orders.durable.db"

    @property
    def url(self) -> str:
        """The journal's URL."""
        return f"sqlite:///{self.journal}"

    @property
    def key_file(self) -> Path:
        """The journal's key, where the folder is kept."""
        return self.folder / "durable.key"

    @property
    def errors(self) -> Path:
        """What the workers said on stderr."""
        return self.folder / "worker.log"

    @property
    def outside(self) -> Outside:
        """The ledger and the invoices."""
        return Outside(self.folder)

    def journal_files(self) -> list[Path]:
        """The journal with everything that lies beside it: the log, its index, the owners."""
        found = self.folder.rglob(f"{self.journal.name}*")
        files = [path for path in found if path.is_file()]
        return sorted({*files, *self.folder.glob(f"{self.journal.name}.owners/*")})
