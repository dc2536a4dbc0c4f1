"""What is done to the cluster, one function each. The load goes on; afterwards the cluster must get well by itself.

Each step asserts what only it can know; what holds always is the judge's.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread

from tests.chaos.cluster.world import RECOVERY_S, World
from tests.support.cluster import Role

Step = Callable[[World], None]

LEASE_S = 10.0
"""Of the ingesters' leases, by default."""


def kill_distributor(world: World) -> None:
    _kill_and_start(world, world.any("distributor"))


def stop_distributor(world: World) -> None:
    with world.stopped(world.any("distributor")):
        world.until_written()
        world.pause(3, 10)


def kill_querier(world: World) -> None:
    _kill_and_start(world, world.any("querier"))


def stop_querier_across_a_cut(world: World) -> None:
    """Its questions were begun before blocks moved and are finished afterwards."""
    with world.stopped(world.any("querier")):
        _flush(world)
        world.pause(1, 4)


def kill_ingester(world: World) -> None:
    _kill_and_start(world, world.any("ingester"))


def stop_ingester_past_its_lease(world: World) -> None:
    with world.stopped(world.any("ingester")):
        world.until_answered()
        world.pause(LEASE_S + 5, LEASE_S + 20)


def kill_zone(world: World) -> None:
    """Reads go on with one zone."""
    zone = world.cluster.of_zone(world.dice.choice("ab"))
    for role in zone:
        role.kill()
    world.until_answered()
    world.until_written()
    for role in zone:
        role.start()


def stop_cutter_before_its_commit(world: World) -> None:
    """Payload is written, then the process stands still until others have done its work; it must find it done."""
    role = world.any("ingester")
    role.stop(timeout=RECOVERY_S)
    with _armed(role, "cut.put:stop:1"):
        role.start()
    # It may come to a cut before it has all of its partitions.
    world.until(lambda: _is_stopped(role) or role.missing() is None, f"{role.name} is ready, or stands still")
    Thread(target=_flush, args=(world,), daemon=True).start()
    with contextlib.suppress(AssertionError):  # the other zone may do all the cutting
        world.until(lambda: _is_stopped(role), "the cutter stands still", timeout=60)
    world.pause(LEASE_S + 5, LEASE_S + 15)
    role.signal(signal.SIGCONT)


def kill_broker(world: World) -> None:
    broker = world.leader()
    broker.kill()
    world.until_written()
    world.pause(2, 8)
    broker.start()
    broker.wait_started(timeout=RECOVERY_S)


def stop_broker(world: World) -> None:
    with world.stopped(world.leader()):
        world.until_written()
        world.pause(2, 8)


def restart_redis(world: World) -> None:
    world.redis.kill()
    world.until_written()
    world.pause(1, 5)
    world.redis.start()


def promote_a_replica_that_lacks_a_commit(world: World) -> None:
    before = world.redis.info("replication")["master_repl_offset"]
    world.replica.promote()  # follows no more
    _flush(world)
    assert world.redis.info("replication")["master_repl_offset"] >= before
    world.fail_over()


def fill_redis(world: World) -> None:
    world.redis.limit_memory(free_bytes=0)
    try:
        world.until_written()
        world.until_answered()
        world.pause(LEASE_S + 5, LEASE_S + 15)
        world.until_written()
        world.until_answered()
    finally:
        world.redis.command("CONFIG", "SET", "maxmemory", 0)
    _flush(world)


def cut_zone_off(world: World) -> None:
    if world.network is None:
        return
    with world.network.cut():
        world.until_answered()
        world.until_written()
        world.pause(10, 30)
        world.until_answered()


def shake_zone(world: World) -> None:
    if world.network is None:
        return
    world.network.flap(world.dice.uniform(10, 20), world.dice)


def roll_everything(world: World) -> None:
    """SIGTERM one after the other, as an upgrade does."""
    for role in world.cluster.roles:
        assert role.stop(timeout=RECOVERY_S) == 0, role.output()[-3000:]
        role.start()
        role.wait_ready(timeout=RECOVERY_S)


def scale_ingesters(world: World) -> None:
    """Each zone gets two more, and loses them again."""
    cluster = world.cluster
    fresh = [cluster.new_ingester(zone, number) for zone in "ab" for number in (2, 3)]
    cluster.ingesters += fresh
    cluster.start()
    world.until_well()
    for role in fresh:
        world.until(partial(_has_its_share, role), f"{role.name} has its share")
    for role in fresh:
        assert role.stop(timeout=RECOVERY_S) == 0, role.output()[-3000:]
        cluster.ingesters.remove(role)


def start_cold(world: World) -> None:
    """All ingesters at once; none of them begins more than two replays at a time."""
    for role in world.cluster.ingesters:
        role.kill()
    for role in world.cluster.ingesters:
        role.start()
    most: dict[str, float] = {}
    end = time.monotonic() + RECOVERY_S
    waiting = list(world.cluster.ingesters)
    while waiting and time.monotonic() < end:
        for role in list(waiting):
            if role.missing() is None:
                waiting.remove(role)
            with contextlib.suppress(OSError):
                most[role.name] = max(most.get(role.name, 0), role.metric("headrace_ingester_replays"))
    assert not waiting, f"{[role.name for role in waiting]} are not ready\n{world.cluster.output()}"
    assert max(most.values(), default=0) <= 2, most


def merge_under_questions(world: World) -> None:
    """Enough generations of each window that they are merged while pages of them are asked for."""
    for _ in range(9):
        _flush(world)
        world.pause(0.5, 1.5)
    world.until_answered(20)


STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (
        kill_distributor,
        stop_distributor,
        kill_querier,
        stop_querier_across_a_cut,
        kill_ingester,
        stop_ingester_past_its_lease,
        kill_zone,
        stop_cutter_before_its_commit,
        kill_broker,
        stop_broker,
        restart_redis,
        promote_a_replica_that_lacks_a_commit,
        fill_redis,
        cut_zone_off,
        shake_zone,
        roll_everything,
        scale_ingesters,
        start_cold,
        merge_under_questions,
    )
}


def _has_its_share(role: Role) -> bool:
    return role.metric("headrace_ingester_partitions") > 0


def _kill_and_start(world: World, role: Role) -> None:
    role.kill()
    world.until_written()
    world.until_answered()
    world.pause(0, 5)
    role.start()


def _flush(world: World) -> None:
    """Everything sealed and stored; during an outage it may fail, and is only meant to make work."""
    with contextlib.suppress(AssertionError, OSError):
        world.cluster.flush()


@contextlib.contextmanager
def _armed(role: Role, plan: str) -> Iterator[None]:
    plain = role.env
    role.env = {**plain, "HEADRACE_FAULTS": plan}
    try:
        yield
    finally:
        role.env = plain


def _is_stopped(role: Role) -> bool:
    assert role.child is not None
    return Path(f"/proc/{role.child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
