"""Which owners live: one locked file for each, freed by the system when its process dies (INV-15).

The lock is `flock` on `<journal>.owners/<owner_id>.lock`. It belongs to the open file description,
so two backends in one process exclude each other as two processes do. A forked child inherits the
description and would keep the lock for as long as it lives; it closes its copy at once. It never
unlocks: that would free the parent's lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from pathlib import Path

from durable_core.errors import JournalUnavailable
from durable_core.storage.forking import at_fork
from durable_core.storage.owners import is_owner_id, require_owner_id, take
from durable_core.storage.refusals import closed

__all__ = ["OwnerLocks"]


class OwnerLocks:
    """The owners of one backend and the means to probe others. `folder` is None in memory.

    A prober holds its shared lock for an instant only, so `hold` tries again for about a second.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        self._held: dict[str, int] = {}
        self._released = False
        # Held while a descriptor is made and noted: no fork may come between the two.
        self._forking = threading.Lock()
        at_fork(
            self,
            before="_before_fork",
            after_in_parent="_after_fork",
            after_in_child="_close_in_child",
        )

    async def hold(self, owner_id: str) -> None:
        """Take the lock of `owner_id` until `release` or the death of the process."""
        require_owner_id(owner_id)
        if self._folder is None:
            self._held[owner_id] = -1
            return
        path = self._folder / f"{owner_id}.lock"

        async def attempt() -> bool:
            if self._released:
                raise closed(str(self._folder))
            return self._try_to_hold(owner_id, path)

        await take(f"the owner lock {path}", attempt)

    def alive(self, owner_id: str) -> bool:
        """Whether somebody holds the lock of `owner_id`. Removes the file of a dead owner."""
        if self._folder is None or owner_id in self._held:
            return owner_id in self._held
        if not is_owner_id(owner_id):
            return False
        path = self._folder / f"{owner_id}.lock"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unusable(path) from error
        try:
            # Shared: two probers at once must not take each other for the owner.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return True
        except OSError as error:
            raise _unusable(path) from error
        finally:
            os.close(descriptor)
        return False

    def release(self) -> None:
        """Give up every lock, for good; each file goes while its lock is still held. Idempotent."""
        self._released = True
        held, self._held = self._held, {}
        for owner_id, descriptor in held.items():
            if self._folder is not None:
                with suppress(OSError):
                    (self._folder / f"{owner_id}.lock").unlink(missing_ok=True)
                os.close(descriptor)

    def _try_to_hold(self, owner_id: str, path: Path) -> bool:
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with self._forking:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                descriptor = self._held[owner_id] = os.open(path, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A prober may have unlinked the file between our open and our lock.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as error:
            self._forget(owner_id)
            raise _unusable(path) from error
        self._forget(owner_id)
        return False

    def _forget(self, owner_id: str) -> None:
        descriptor = self._held.pop(owner_id, None)
        if descriptor is not None:
            os.close(descriptor)

    def _before_fork(self) -> None:
        self._forking.acquire()

    def _after_fork(self) -> None:
        self._forking.release()

    def _close_in_child(self) -> None:
        held, self._held = self._held, {}
        for descriptor in held.values():
            with suppress(OSError):
                os.close(descriptor)
        self._forking.release()


def _unusable(path: Path) -> JournalUnavailable:
    message = f"cannot use the owner lock {path}; check the permissions of its folder"
    return JournalUnavailable(message)
