"""The gateway of docker-compose.yml on Debian's nginx: the same `deploy/nginx.conf`, filled in for loopback."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import Process, free_port
from tests.support.tools import LIBRARIES, ROOT, tool

TEMPLATE = ROOT / "deploy" / "nginx.conf"


def rendered(template: str, **values: str) -> str:
    """What envsubst makes of it: `${NAME}` is replaced, nginx's own `$name` is not. Raises KeyError."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], template)


def variables(template: str) -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", template))


class Gateway(Process):
    """Serves on `base` once it is started; `distributors` and `queriers` are addresses, HOST:PORT."""

    def __init__(self, folder: Path, *, distributors: Sequence[str], queriers: Sequence[str]) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._config = rendered(
            TEMPLATE.read_text(),
            GATEWAY_DIR=str(folder),
            GATEWAY_LISTEN=f"127.0.0.1:{self.port}",
            GATEWAY_DISTRIBUTORS=_servers(distributors),
            GATEWAY_QUERIERS=_servers(queriers),
            GATEWAY_RESOLVER="127.0.0.1",  # never asked: addresses need no names
        )
        # Its workers give up root for a user who may not enter a test's folder.
        user = "user root; " if os.geteuid() == 0 else ""
        argv = [tool("nginx"), "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", f"{user}daemon off;"]
        super().__init__(argv, folder, {"LD_LIBRARY_PATH": str(LIBRARIES)})

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "nginx.conf").write_text(self._config)
        super().start()


def _servers(addresses: Sequence[str]) -> str:
    """What stands behind `server` in an upstream. One failure keeps nobody out: tests kill servers and start them."""
    return "; server ".join(f"{address} max_fails=0" for address in addresses)
