"""The data folder: made, and locked for one process."""

import fcntl
import os
from pathlib import Path

LOCK = "lock"


class FolderInUseError(Exception):
    """Another process holds the folder."""


class DataFolder:
    """Holds an exclusive lock from `open` to `close`. The kernel drops it when the process ends, however it ends."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> "DataFolder":
        """Raises FolderInUseError, or OSError if the folder cannot be made or written."""
        if create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            by = f"process {holder}" if holder else "another process"
            raise FolderInUseError(
                f"data folder {path} is in use by {by}: stop it, or choose another folder with --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(path, descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
