"""`DATA/server.json`: how the command line finds a running server."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

NAME = "server.json"


@dataclass(frozen=True, slots=True)
class ServerFile:
    address: str  # http://HOST:PORT
    pid: int
    admin_token: str = field(repr=False)

    def write(self, data: Path) -> None:
        """Readable by its owner only, and whole or not there at all."""
        temporary = data / f".{NAME}.{os.getpid()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        temporary.replace(data / NAME)

    @classmethod
    def read(cls, data: Path) -> "ServerFile | None":
        """None if no server has left one here. What a killed server left is found out by calling it."""
        try:
            return cls(**json.loads((data / NAME).read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return None

    @staticmethod
    def remove(data: Path) -> None:
        (data / NAME).unlink(missing_ok=True)
