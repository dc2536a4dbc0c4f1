"""A process that was told to stop ends, whatever hangs."""

import subprocess
import sys

HANGING = """
import asyncio, threading
from headrace.server import Stopping

async def main():
    stopping = Stopping(limit_s=0.2)
    stopping.ask()
    assert stopping.asked.is_set() and not stopping.hurried.is_set()
    stopping.ask()
    assert stopping.hurried.is_set()
    if {blocks_the_loop}:
        threading.Event().wait()
    await asyncio.to_thread(threading.Event().wait)

asyncio.run(main())
"""


def test_what_hangs_in_the_loop_or_in_its_threads_is_ended() -> None:
    for blocks_the_loop in (True, False):
        code = HANGING.format(blocks_the_loop=blocks_the_loop)
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
        assert ended.returncode == 1
        assert "stop_took_too_long" in ended.stdout + ended.stderr
        assert "MainThread" in ended.stdout + ended.stderr
