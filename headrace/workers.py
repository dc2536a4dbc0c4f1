"""The worker processes of one role: started, watched, started again, stopped.

The supervisor binds the listening socket once, and every worker accepts on it; besides, each has a socket of its own on
loopback, through which the others ask it for its part of `/metrics` and `/ready`. A worker is a fresh process (never a
fork: gRPC's threads do not survive one), gets its settings through its standard input, and takes the end of that for an
order to stop: so none outlives its supervisor.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from headrace.listener import bound
from headrace.settings import ClusterRole, Loaded

log = structlog.get_logger(__name__)

COMMAND = "worker"
"""Of the command line, for supervisors only."""

START_FAILED = 2
"""The exit code of a process that cannot start, and that another attempt would not help."""

FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A worker that lived so long may be started again at once."""

MAX_ORDER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """What a supervisor tells a worker."""

    index: int
    values: Mapping[str, Any]
    """Of the settings, secrets among them."""
    listener: int
    """Descriptor of the socket that all workers accept on."""
    own: int
    """That of the worker's own."""
    addresses: Sequence[tuple[str, int]]
    """Of every worker's own socket, by index."""

    def encode(self) -> bytes:
        return json.dumps(asdict(self), default=str).encode() + b"\n"

    @classmethod
    def receive(cls) -> "Order":
        """From standard input. Raises ValueError."""
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < MAX_ORDER_BYTES:
            part = os.read(0, 65536)
            if not part:
                raise ValueError("workers are started by a supervisor: headrace ROLE --workers N")
            line += part
        order: dict[str, Any] = json.loads(line)
        return cls(**order | {"addresses": [(host, port) for host, port in order["addresses"]]})


def supervise(role: ClusterRole, loaded: Loaded) -> int:
    """Runs until it is told to stop; the exit code. Raises ListenError."""
    settings = loaded.settings
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(bound(settings.listen))
        own = [opened.enter_context(bound("127.0.0.1:0")) for _ in range(settings.workers)]
        return asyncio.run(_Supervisor(role, loaded.values, listener, own).run())


class _Supervisor:
    def __init__(
        self, role: ClusterRole, values: Mapping[str, Any], listener: socket.socket, own: Sequence[socket.socket]
    ) -> None:
        self._role = role
        self._values = values
        self._listener = listener
        self._own = own
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        async with asyncio.TaskGroup() as tasks:
            for index in range(len(self._own)):
                tasks.create_task(self._keep(index), name=f"worker-{index}")
        return self._code

    def _stop(self) -> None:
        """Called again, it makes the workers hurry."""
        self._stopping.set()
        for worker in self._running.values():
            self._signal(worker)

    @staticmethod
    def _signal(worker: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            worker.send_signal(signal.SIGTERM)

    async def _keep(self, index: int) -> None:
        """One worker, again and again."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        first = True
        while not self._stopping.is_set():
            began = loop.time()
            code = await self._run_once(index)
            if self._stopping.is_set():
                self._code = self._code or (0 if code == -signal.SIGTERM else code)  # told before it could listen
                return
            if first and code == START_FAILED:  # it has said why
                self._code = code
                self._stop()
                return
            first = False
            if loop.time() - began >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.error("worker_ended", worker=index, code=code, again_in_s=pause_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    async def _run_once(self, index: int) -> int:
        own, listener = self._own[index], self._listener
        order = Order(index, self._values, listener.fileno(), own.fileno(), [s.getsockname()[:2] for s in self._own])
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "headrace",
            COMMAND,
            self._role,
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(listener.fileno(), own.fileno()),
            process_group=0,  # a terminal's Ctrl-C is for the supervisor, which tells the workers once
        )
        self._running[index] = worker
        try:
            if worker.stdin is not None:
                worker.stdin.write(order.encode())
                with contextlib.suppress(ConnectionError):  # it has ended, and how is what counts
                    await worker.stdin.drain()
            if self._stopping.is_set():  # the others were told before this one was there
                self._signal(worker)
            return await worker.wait()
        finally:
            del self._running[index]
