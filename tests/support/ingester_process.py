"""An ingester in a process of its own, that a test may stop or kill: `python -m tests.support.ingester_process SERIES`.

It prints its port, holds series `m{job="jN"}` with one sample, and serves until it is killed.
"""

import asyncio
import sys

from ingester.rpc.server import Server
from shared.native import Files
from tests.support.world import World, series
from tests.support.zones import SETTINGS

T = 1_699_999_200_000


async def main(count: int) -> None:
    world = await World(Files.simulated(1)).start()
    await world.write([series("m", (T, float(n)), job=f"j{n}") for n in range(count)])
    await world.caught_up()
    server = Server(world.ingester.holdings, SETTINGS, window_ms=world.settings.window_ms, flush=world.ingester.flush)
    print(await server.start("127.0.0.1:0"), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
