"""What a sample costs in Redis, and how often Redis is asked.

`python -m tests.bench.redis_memory` brings the recording (RECORDING; see tests/integration/test_recorded_traffic.py)
through log, heads and cut into a Redis of its own, once into one partition, as the default limits have it, and once
into four. The increase of `used_memory` counts everything: payload, manifests, cursors, Redis's own tables.
"""

import asyncio
import tempfile
from pathlib import Path

from shared.native import Files, WriteLimits
from shared.redis.client import Client
from shared.redis.settings import parse_url
from tests.integration.test_recorded_traffic import bodies
from tests.support.redis import RedisServer
from tests.support.redis_world import RedisWorld
from tests.support.world import instance


async def load(server: RedisServer, folder: Path, shards: int) -> None:
    client = Client(parse_url(server.url))
    empty = int(server.info("memory")["used_memory"])
    world = RedisWorld(Files.real(), folder=str(folder / "data"), client=client, tenant=instance(shards=shards))
    await world.start()
    for body in bodies():
        batch = world.splitter.split(
            body, uid=world.tenant.uid, shards=shards, limits=WriteLimits(max_future_ms=None), now_ms=0
        )
        await world.log.append(batch, now_ms=0)
    await world.caught_up()
    samples = world.held_samples
    await world.ingester.flush()
    manifests = [
        manifest
        for partition in range(4)
        for blocks in (await world.store.directory(partition)).manifests.values()
        for manifest in blocks
    ]
    payload = sum(sum(manifest.lengths) for manifest in manifests)
    asked = client.commands
    for partition in range(4):
        await world.store.directory(partition)
    print(f"  directories of 4 unchanged partitions: {client.commands - asked} commands")
    asked = client.commands
    await world.read()
    asked_first, asked = client.commands - asked, client.commands
    await world.read()
    print(f"  a query of everything: {asked_first} commands the first time, {client.commands - asked} the second")
    await world.crash()
    await client.close()  # a connection has buffers of 40 KB, which are not samples
    used = int(server.info("memory")["used_memory"])
    print(
        f"{shards} partitions: {samples:,} samples in {len(manifests)} blocks of {payload:,} bytes; "
        f"used_memory {used:,} = {used / samples:.3f} bytes per sample, {(used - empty) / samples:.3f} without the "
        f"{empty:,} of an empty Redis"
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for shards in (1, 4):
            # Its histograms of each command's latency, 25 KB a command, weigh as much as an hour of samples.
            server = RedisServer(Path(folder) / f"redis-{shards}", options={"latency-tracking": "no"})
            server.start()
            try:
                await load(server, Path(folder) / str(shards), shards)
            finally:
                server.kill()


if __name__ == "__main__":
    asyncio.run(main())
