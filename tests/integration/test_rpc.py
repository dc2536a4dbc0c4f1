"""Queriers and ingesters over gRPC: what fails gives way to the other zone, and what nobody has is named."""

import asyncio
import datetime
import ipaddress
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from distributor.owners import RemoteOwners
from ingester.rpc import service
from ingester.rpc.unsent import Unsent
from ingester.service import Ingester
from querier.remote import coverage
from querier.remote.coverage import Coverage
from querier.storage import Consistency, Storage
from shared import faults
from shared.errors import BadDataError, UnavailableError
from shared.model.counts import Counted
from shared.native import ExecutionError, Files, HeadSearch, IncomingPart, KnownSeries, Query, Selection
from shared.rpc import ingester_pb2 as pb
from shared.rpc import replicas
from shared.rpc.channels import Channels
from shared.rpc.methods import FLUSH, SELECT, SERVICE, WAIT
from shared.rpc.secret import metadata_of
from shared.rpc.settings import RpcSettings
from shared.seams.membership import Lease
from tests.support.processes import free_port
from tests.support.world import FOREVER, HOUR_MS, PARTITIONS, World, labels, series
from tests.support.zones import SETTINGS, Zones, zones

T = 1_700_000_000_000 // (2 * HOUR_MS) * (2 * HOUR_MS)
MANY = [series("m", *((T + i * 1000, float(i)) for i in range(5)), job=f"j{n}") for n in range(25)]
EXPECTED = {labels("m", job=f"j{n}"): [(T + i * 1000, str(i)) for i in range(5)] for n in range(25)}
ALL = dict.fromkeys(range(PARTITIONS), 0)
REPLAYING = "partition 1 is replaying the log; see /ready for its progress"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    opened = await World(Files.simulated(1)).start()
    await opened.write(MANY)
    await opened.caught_up()
    yield opened
    faults.install(None)
    await opened.crash()


@asynccontextmanager
async def two_zones(world: World) -> AsyncIterator[tuple[Zones, Ingester]]:
    """Zone a is the world's ingester; zone b's is given. The querier is in zone a."""
    async with AsyncExitStack() as stack:
        other = world.join(replace(world.settings, zone="b", takeover_s=1e12))
        await other.start()
        stack.push_async_callback(other.stop)
        await other.ready()
        opened = await stack.enter_async_context(zones(world))
        await opened.serve("a-0", world.ingester.holdings)
        await opened.serve("b-0", other.holdings)
        world.storage = opened.storage(world)
        yield opened, other


async def select(zones_: Zones, world: World, ends: dict[int, int] | None = None, query: Query | None = None) -> Any:
    return await zones_.client.select(query or Query(), world.tenant.uid, ends or ALL, (), *FOREVER)


async def rows(zones_: Zones, world: World) -> tuple[int, Any]:
    """Series found, and the partitions that are missing."""
    query = Query()
    answers = await select(zones_, world, query=query)
    selection = Selection(query, (), *FOREVER)
    for answer in answers.given:
        if answer.part is not None:
            selection.add_part(answer.part)
    return len(selection.finish()), answers.missing


class TestFailOver:
    async def test_a_zone_that_is_gone(self, world: World) -> None:
        async with two_zones(world) as (opened, _):
            assert await world.read() == EXPECTED
            await opened.stop("a-0")
            assert await world.read() == EXPECTED
            await opened.stop("b-0")
            with pytest.raises(UnavailableError, match=r"partition 0 cannot be read: 127\.0\.0\.1:\d+: ") as caught:
                await world.read()
            assert all(f"partition {n} " in str(caught.value) for n in range(PARTITIONS))

    async def test_half_of_a_zone_is_gone(self, world: World) -> None:
        async with two_zones(world) as (opened, _):
            await opened.serve("a-1", world.ingester.holdings, [2, 3])
            assert await world.read() == EXPECTED
            await opened.stop("a-1")
            assert await world.read() == EXPECTED

    async def test_a_partition_that_replays(self, world: World) -> None:
        async with two_zones(world) as (opened, other):
            world.ingester.holdings.partitions[1].replaying = True
            assert await world.read() == EXPECTED
            other.holdings.partitions[1].replaying = True
            with pytest.raises(UnavailableError, match="partition 1 is replaying the log") as caught:
                await world.read()
            assert "partition 2" not in str(caught.value)
            other.holdings.partitions[1].replaying = False
            assert await world.read() == EXPECTED
            assert (await rows(opened, world))[1] == {}

    async def test_a_zone_that_lags(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither a warning nor a sample less."""
        monkeypatch.setattr(service, "CATCH_UP_S", 0.2)
        async with two_zones(world) as (_, other):
            await world.caught_up()
            await world.ingester.holdings.consumer.stop()
            await world.write([series("m", (T + 7000, 7.0), job=f"j{n}") for n in range(25)])
            assert await world.read() == {name: [*samples, (T + 7000, "7")] for name, samples in EXPECTED.items()}
            await other.holdings.consumer.stop()
            await world.write([series("late", (T, 1.0))])
            world.storage._wait_s = 0.2
            reading = await world.storage.read(world.tenant)
            found = await reading.select(Query(), (), *FOREVER)
            assert len(found) == len(EXPECTED)
            [warning] = reading.warnings
            assert "recent samples may be missing: after 0.2 s ingesters lag behind the log" in warning
            reading = await world.storage.read(world.tenant, Consistency.STRONG)
            with pytest.raises(UnavailableError, match=r"after 0\.2 s ingesters lag .* partition 3 by 1$"):
                await reading.names(Query(), (), *FOREVER)

    async def test_heads_that_do_not_lag_are_called_once(self, world: World) -> None:
        async with two_zones(world) as (opened, _):
            await world.write([series("m", (T + 7000, 7.0), job=f"j{n}") for n in range(25)])
            assert len(await world.read()) == len(EXPECTED)
            assert opened.channels.calls == {SELECT.name: 1}

    async def test_of_a_query_that_waits_each_selection_is_complete(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both zones lag at first: what is asked for meanwhile is answered when they have caught up."""
        monkeypatch.setattr(service, "CATCH_UP_S", 0.02)
        async with two_zones(world) as (opened, other):
            await world.caught_up(other)
            for ingester in (world.ingester, other):
                ingester.holdings.consumer.pause(paused=True)
            await world.write([series("m", (T + 7000, 7.0), job=f"j{n}") for n in range(25)])
            world.storage._wait_s = 60.0
            reading = await world.storage.read(world.tenant)
            asked = [asyncio.create_task(reading.select(Query(), (), T + 7000, T + 7000)) for _ in range(2)]
            async with asyncio.timeout(30):
                while not opened.channels.calls[WAIT.name] and not all(task.done() for task in asked):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            for ingester in (world.ingester, other):
                ingester.holdings.consumer.pause(paused=False)
            assert [len(await found) for found in asked] == [25, 25]
            assert reading.warnings == []

    async def test_an_answer_never_lacks_what_the_wait_has_seen(self, world: World) -> None:
        """The zone that had applied it is gone, the other one lags: that is not answered as if nothing were missing."""
        async with two_zones(world) as (opened, other):
            await world.caught_up(other)
            await other.holdings.consumer.stop()
            await world.write([series("m", (T + 7000, 7.0), job=f"j{n}") for n in range(25)])
            reading = await world.storage.read(world.tenant)
            assert len(await reading.select(Query(), (), T + 7000, T + 7000)) == 25
            await opened.stop("a-0")
            with pytest.raises(UnavailableError, match=r"partition \d is 1 records behind"):
                await reading.select(Query(), (), *FOREVER)

    async def test_a_partition_that_has_moved_is_found(self, world: World) -> None:
        async with two_zones(world) as (opened, _):
            await opened.stop("b-0")
            assert await world.read() == EXPECTED
            address = await opened.serve("a-1", world.ingester.holdings, ())
            await opened.stop("a-0")
            for number in range(PARTITIONS):  # nobody tells the querier
                lease = Lease(number, "a", "a-0", "a-0", "", 0)
                await opened.membership.release(lease)
                await opened.membership.renew(replace(lease, nonce="a-1", address=address), ttl_ms=10**9)
            assert await world.read() == EXPECTED

    async def test_the_last_known_serves_while_the_leases_are_unknown(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with two_zones(world) as (opened, _):

            async def away(_zone: str | None = None) -> list[Lease]:
                raise UnavailableError("the store is away")

            monkeypatch.setattr(opened.membership, "leases", away)
            with pytest.raises(UnavailableError):
                await opened.replicas.refresh()
            await opened.stop("a-0")
            assert await world.read() == EXPECTED

    async def test_nobody_at_all(self, world: World) -> None:
        async with zones(world) as opened:
            world.storage = opened.storage(world)
            with pytest.raises(UnavailableError, match="no ingester holds partition 0; no ingester holds partition 1"):
                await world.read()


class TestCoverage:
    """What a querier waits for when it starts."""

    async def test_until_every_partition_is_answered_for(self, world: World) -> None:
        async with two_zones(world) as (opened, other):
            for ingester in (world.ingester, other):
                ingester.holdings.partitions[1].replaying = True
            watched = Coverage(opened.replicas, opened.channels, range(PARTITIONS))
            looking = asyncio.create_task(watched.run())
            async with asyncio.timeout(30):
                while True:
                    if watched.missing == "waiting for ingesters: " + REPLAYING:
                        break
                    await asyncio.sleep(0.01)
                other.holdings.partitions[1].replaying = False
                await looking
            assert watched.missing is None

    async def test_not_for_ever(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(coverage, "PATIENCE_S", 0.1)
        async with two_zones(world) as (opened, other):
            for ingester in (world.ingester, other):
                ingester.holdings.partitions[1].replaying = True
            watched = Coverage(opened.replicas, opened.channels, range(PARTITIONS))
            async with asyncio.timeout(30):
                await watched.run()
            assert watched.missing is None


class TestProcesses:
    """What the loss of a process looks like from outside."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
    async def test_one_that_ends_or_stands_still_gives_way(self, world: World, number: signal.Signals) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.ingester_process", "25", stdout=PIPE, stderr=DEVNULL
        )
        try:
            assert process.stdout is not None
            line = b""
            while not line.strip().isdigit():
                line = await process.stdout.readline()
            async with zones(world) as opened:
                await opened.lease("a-0", f"127.0.0.1:{int(line)}")
                await opened.serve("b-0", world.ingester.holdings)
                assert await rows(opened, world) == (25, {})
                os.kill(process.pid, number)
                assert await rows(opened, world) == (25, {})
                began = monotonic()
                assert await rows(opened, world) == (25, {})
                assert monotonic() - began < SETTINGS.silence_s, "it is not asked first again"
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


Send = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def liar(method: str, behave: Callable[[Any, Send], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that answers one method with whatever bytes it likes; its address."""

    async def handler(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await behave(SELECT.request.FromString(request), context.write)

    server = grpc.aio.server()
    handlers: Any = {method: grpc.unary_stream_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def frame(**content: Any) -> bytes:
    return pb.Frame(**content).SerializeToString()


def head(size: int, partition: int = 0) -> bytes:
    return frame(head=pb.HeadAnswer(partition=partition, bytes=size))


GARBAGE = {
    "a piece of nothing": [frame(piece=b"x")],
    "a head in the middle of another": [head(10), head(10)],
    "more than announced": [head(3), frame(piece=b"abcd")],
    "less than announced": [head(3), frame(piece=b"ab")],
    "no part": [head(12), frame(piece=b"abcdefghijkl")],
    "a part of another format": [head(12), frame(piece=b"HRP\x63abcdefgh")],
    "no message": [b"\xff\xff\xff\xff"],
    "nothing": [],
}


class TestGarbage:
    @pytest.mark.parametrize("name", GARBAGE)
    async def test_gives_way_to_the_other_zone(self, world: World, name: str) -> None:
        async def behave(_request: pb.SelectRequest, send: Send) -> None:
            for message in GARBAGE[name]:
                await send(message)

        async with zones(world) as opened, liar(SELECT.name, behave) as address:
            await opened.lease("a-0", address)
            found, missing = await rows(opened, world)
            assert found == 0
            assert missing.keys() == ALL.keys()
            await opened.serve("b-0", world.ingester.holdings)
            assert await rows(opened, world) == (25, {})

    async def test_what_was_whole_before_it_stands(self, world: World) -> None:
        """The first partition's answer is kept, the others are asked of the other zone."""
        asked: list[list[int]] = []

        async def behave(request: pb.SelectRequest, send: Send) -> None:
            asked.append(sorted(request.partitions))
            [part, *_] = HeadSearch(Query(), request.uid, [], request.min_ms, request.max_ms).parts(
                [world.ingester.holdings.partitions[0].head]
            )
            assert part is not None
            data = part.encode()
            await send(head(len(data)))
            await send(frame(piece=data.frame(0, len(data))))
            await send(frame(piece=b"x"))

        async with zones(world) as opened, liar(SELECT.name, behave) as address:
            await opened.lease("a-0", address)
            await opened.serve("b-0", world.ingester.holdings)
            others: list[list[int]] = []
            serving = opened.servers["b-0"]._service._serving

            def watched(numbers: Any) -> Any:
                others.append(sorted(numbers))
                return serving(numbers)

            opened.servers["b-0"]._service._serving = watched  # type: ignore[method-assign]
            assert await rows(opened, world) == (25, {})
            assert asked == [[0, 1, 2, 3]]
            assert others == [[1, 2, 3]]

    async def test_an_answer_that_no_query_could_pay_for(self, world: World) -> None:
        async def behave(_request: pb.SelectRequest, send: Send) -> None:
            await send(head(1 << 50))

        async with zones(world) as opened, liar(SELECT.name, behave) as address:
            await opened.lease("a-0", address)
            with pytest.raises(ExecutionError, match="more than 4294967296 bytes of memory"):
                await select(opened, world)


class TestBudget:
    async def test_that_is_used_up_in_the_middle_of_a_stream(self, world: World) -> None:
        """The call ends, and what was received is given back."""
        ended = asyncio.Event()

        async def behave(request: pb.SelectRequest, send: Send) -> None:
            try:
                [part] = HeadSearch(Query(), request.uid, [], request.min_ms, request.max_ms).parts(
                    [world.ingester.holdings.partitions[0].head]
                )
                assert part is not None
                data = part.encode()
                await send(head(len(data)))
                await send(frame(piece=data.frame(0, len(data))))
                await send(head(50_000, 1))
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with zones(world) as opened, liar(SELECT.name, behave) as address:
            await opened.lease("a-0", address)
            query = Query(max_bytes=50_000)
            with pytest.raises(ExecutionError, match="more than 50000 bytes"):
                await select(opened, world, query=query)
            async with asyncio.timeout(10):
                await ended.wait()
            IncomingPart(query, 50_000)


class TestDeadlines:
    async def test_a_caller_that_ends_ends_the_work_elsewhere(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        began, canceled = threading.Event(), threading.Event()

        class Slow:
            """A search that goes on until its query is cancelled."""

            def __init__(self, *_: object) -> None:
                pass

            def parts(self, _heads: object) -> list[None]:
                began.set()
                assert canceled.wait(30)
                return [None]

        class Watched:
            def __init__(self, **_: object) -> None:
                pass

            def cancel(self) -> None:
                canceled.set()

        monkeypatch.setattr(service, "HeadSearch", Slow)
        monkeypatch.setattr(service, "Query", Watched)
        monkeypatch.setattr(service, "DIRECT_SERIES", 0)
        async with zones(world) as opened:
            await opened.serve("a-0", world.ingester.holdings)
            task = asyncio.create_task(select(opened, world))
            assert await asyncio.to_thread(began.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(canceled.wait, 30)

    async def test_work_may_take_longer_than_the_silence_that_is_borne(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done = threading.Event()

        class Slow:
            def __init__(self, *args: Any) -> None:
                self._search = HeadSearch(*args)

            def parts(self, heads: Any) -> Any:
                assert done.wait(30)
                return self._search.parts(heads)

        monkeypatch.setattr(service, "HeadSearch", Slow)
        monkeypatch.setattr(service, "HEARTBEAT_S", 0.01)
        monkeypatch.setattr(service, "DIRECT_SERIES", 0)
        quick = replace(SETTINGS, silence_s=0.2)
        async with zones(world, settings=quick) as opened:
            await opened.serve("a-0", world.ingester.holdings)
            task = asyncio.create_task(rows(opened, world))
            await asyncio.sleep(2 * quick.silence_s)
            assert not task.done()
            done.set()
            assert await task == (25, {})

    async def test_silence_gives_way(self, world: World) -> None:
        ended = asyncio.Event()

        async def behave(_request: pb.SelectRequest, send: Send) -> None:
            try:
                await send(frame())
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with zones(world, settings=replace(SETTINGS, silence_s=0.2)) as opened, liar(SELECT.name, behave) as a:
            await opened.lease("a-0", a)
            await opened.serve("b-0", world.ingester.holdings)
            assert await rows(opened, world) == (25, {})
            async with asyncio.timeout(10):
                await ended.wait()
            await opened.stop("b-0")
            missing = (await rows(opened, world))[1]
            assert "silent for 0.2 s" in missing[0]


class TestUnsent:
    async def test_an_asker_that_goes_leaves_nothing_behind(self, world: World) -> None:
        await world.write([series("m", (T, 1.0), pod=f"pod-{n:0500}") for n in range(4000)])
        await world.caught_up()
        async with zones(world) as opened:
            address = await opened.serve("a-0", world.ingester.holdings)
            held = opened.servers["a-0"]._service._unsent
            request = pb.SelectRequest(uid=world.tenant.uid, partitions=ALL, max_ms=FOREVER[1])
            frames = opened.channels.stream(address, SELECT, request, 30.0)
            async for message in frames:
                if message.WhichOneof("content") == "piece":
                    break
            await frames.aclose()  # type: ignore[attr-defined]
            async with asyncio.timeout(10):
                while held._held_bytes:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)

    async def test_no_head_is_read_while_too_much_waits(self) -> None:
        unsent = Unsent(100)
        with unsent.holding(60):
            await unsent.bearable()
            with unsent.holding(60):
                waiting = asyncio.create_task(unsent.bearable())
                await asyncio.sleep(0)
                assert not waiting.done()
            await waiting


class TestSecret:
    @pytest.mark.parametrize("secret", ["another secret", ""])
    async def test_without_it_nothing_is_answered(self, world: World, secret: str) -> None:
        async with zones(world, settings=replace(SETTINGS, secret=secret)) as opened:
            address = await opened.serve("a-0", world.ingester.holdings, settings=SETTINGS)
            found, missing = await rows(opened, world)
            assert found == 0
            assert all(
                "HEADRACE_CLUSTER_SECRET" in why and "secret of the tests" not in why for why in missing.values()
            )
            lag = await opened.client.wait_applied(dict.fromkeys(ALL, 1), timeout_s=1)
            assert lag == {}
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await opened.channels.call(address, FLUSH, pb.FlushRequest(), 5.0)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            async with grpc.aio.insecure_channel(address) as bare:
                flush: Any = bare.unary_unary(FLUSH.path)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await flush(b"")
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

    def test_is_not_shown(self) -> None:
        assert "secret of the tests" not in repr(SETTINGS)


class TestRequests:
    async def test_that_make_no_sense_are_refused(self, world: World) -> None:
        async with zones(world) as opened:
            address = await opened.serve("a-0", world.ingester.holdings)
            for request in (
                pb.SelectRequest(uid=b"short", partitions=ALL),
                pb.SelectRequest(uid=world.tenant.uid, partitions=ALL, matchers=[pb.Matcher(name="a", op="~")]),
                pb.SelectRequest(
                    uid=world.tenant.uid, partitions=ALL, matchers=[pb.Matcher(name="a", op="=~", value="(" * 9000)]
                ),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    async for _ in opened.channels.stream(address, SELECT, request, 5.0):
                        pass
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert len(caught.value.details() or "") < 3000
            async with grpc.aio.insecure_channel(address) as bare:
                select_: Any = bare.unary_stream(SELECT.path)
                call = select_(b"\xff\xff", metadata=metadata_of(SETTINGS.secret))
                with pytest.raises(grpc.aio.AioRpcError):
                    await call.read()
            assert await rows(opened, world) == (25, {})

    async def test_a_fault_of_the_query_is_not_asked_of_others(self, world: World) -> None:
        class Refused:
            name, op, value = "a", "=~", "("

        async with two_zones(world) as (opened, other):
            other.holdings.partitions[0].replaying = True
            with pytest.raises(BadDataError, match="error parsing regexp"):
                await opened.client.select(Query(), world.tenant.uid, ALL, [Refused()], *FOREVER)  # type: ignore[list-item]


class TestTls:
    async def test_with_certificates_of_one_authority(self, world: World, tmp_path: Path) -> None:
        ca, pairs = _certificates(tmp_path, "server", "querier")
        (server_certificate, server_key), (certificate, key) = pairs
        plain = SETTINGS
        both = replace(SETTINGS, ca_file=ca, certificate_file=certificate, key_file=key)
        async with zones(world, settings=both) as opened:
            served = replace(SETTINGS, ca_file=ca, certificate_file=server_certificate, key_file=server_key)
            await opened.serve("a-0", world.ingester.holdings, settings=served)
            assert await rows(opened, world) == (25, {})
            async with zones(world, settings=plain) as clear:
                await clear.lease("a-0", opened.replicas.of(0)[0])
                assert (await rows(clear, world))[1].keys() == ALL.keys()
            async with zones(world, settings=replace(SETTINGS, ca_file=ca)) as nameless:
                await nameless.lease("a-0", opened.replicas.of(0)[0])
                assert (await rows(nameless, world))[1].keys() == ALL.keys(), "a client without a certificate"


class TestHandOver:
    @pytest.mark.parametrize("point", ["cut.put", "commit.done", "cut.committed", "cut.released", "trim.done"])
    async def test_every_sample_is_seen_once_at_any_moment_of_a_cut(self, world: World, point: str) -> None:
        """Two queriers: one that has just come, and one that remembers directories from before."""
        loop = asyncio.get_running_loop()
        seen: list[asyncio.Task[object]] = []
        async with zones(world) as opened:
            await opened.serve("a-0", world.ingester.holdings)
            world.storage = opened.storage(world)
            assert await world.read() == EXPECTED

            async def read(storage: Storage) -> object:
                world.storage = storage
                return await world.read()

            def look(passed: str) -> None:
                if passed == point:
                    readers = (remembering, opened.storage(world))
                    seen.extend(loop.create_task(read(storage)) for storage in readers)

            remembering = world.storage
            faults.install(look)
            await world.ingester.flush()
            faults.install(None)
            assert seen
            for task in seen:
                assert await task == EXPECTED
            assert world.held_samples == 0
            world.storage = remembering
            assert await world.read() == EXPECTED

    async def test_a_store_that_was_turned_back_is_not_believed(self, world: World) -> None:
        """The number of its directory may be the one that the head has stated; what it contains is not."""
        async with zones(world) as opened:
            await opened.serve("a-0", world.ingester.holdings)
            world.storage = opened.storage(world)
            await world.ingester.flush()
            held = {n: p.generation for n, p in world.ingester.holdings.partitions.items()}
            directory = world.store.directory

            async def turned_back(partition: int, *, at_least: int = 0) -> Any:
                found = await directory(partition)
                assert found.generation == held[partition] >= at_least
                return replace(found, through={}, manifests={})

            world.store.directory = turned_back  # type: ignore[method-assign]
            with pytest.raises(UnavailableError, match="has lost what it contained before"):
                await world.read()


class TestReplicas:
    async def test_the_own_zone_is_asked_first(self, world: World) -> None:
        async with two_zones(world) as (opened, _):
            own, others = (lease.address for lease in await opened.membership.leases() if lease.partition == 0)
            assert [list(opened.replicas.of(n)) for n in ALL] == [[own, others]] * PARTITIONS
            opened.replicas.avoid(own, [1], has_failed=True)
            assert list(opened.replicas.of(1)) == [others, own]
            assert list(opened.replicas.of(2)) == [own, others]

    async def test_without_a_zone_of_its_own_a_querier_takes_turns(self, world: World) -> None:
        async with zones(world, zone=None) as opened:
            await opened.lease("a-0", "127.0.0.1:1")
            await opened.lease("b-0", "127.0.0.1:2")
            assert [opened.replicas.of(n)[0] for n in range(4)] == ["127.0.0.1:1", "127.0.0.1:2"] * 2
            assert opened.replicas.addresses == {"127.0.0.1:1", "127.0.0.1:2"}

    async def test_leases_that_are_gone_are_forgotten_after_a_while(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with zones(world) as opened:
            address = await opened.serve("a-0", world.ingester.holdings)
            assert await rows(opened, world) == (25, {})
            for lease in await opened.membership.leases():
                await opened.membership.release(lease)
            await opened.replicas.refresh()
            assert await rows(opened, world) == (25, {}), "an owner without a lease goes on answering"
            monkeypatch.setattr(replicas, "REMEMBERED_S", 0.0)
            await opened.replicas.refresh()
            assert opened.replicas.of(0) == []
            assert address not in opened.channels._peers

    async def test_looks_by_itself_and_goes_on_after_a_failure(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(replicas, "REFRESH_S", 0.01)
        async with zones(world) as opened:
            leases = opened.membership.leases
            looks = 0

            async def shaky(zone: str | None = None) -> list[Lease]:
                nonlocal looks
                looks += 1
                if looks < 3:
                    raise UnavailableError("the store is away")
                return await leases(zone)

            monkeypatch.setattr(opened.membership, "leases", shaky)
            running = asyncio.create_task(opened.replicas.run())
            async with asyncio.timeout(10):
                while not opened.replicas.is_known:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            assert looks >= 3
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


class TestOthers:
    async def test_flush_calls_what_it_was_given(self, world: World) -> None:
        async with zones(world) as opened:
            address = await opened.serve("a-0", world.ingester.holdings, flush=world.ingester.flush)
            await opened.channels.call(address, FLUSH, pb.FlushRequest(), 30.0)
            assert world.held_samples == 0

    async def test_metadata_of_any_size_comes_in_pieces(self, world: World) -> None:
        families = {f"f{n}": (1, f"{n}: " + 300 * "help ", "s") for n in range(2000)}
        await world.write([], [(kind, family, text, unit) for family, (kind, text, unit) in families.items()])
        await world.caught_up()
        async with two_zones(world) as (opened, _):
            described = await opened.client.metadata(world.tenant.uid, ALL)
            assert described.families == families
            assert not described.missing
            await opened.stop("a-0")
            assert (await opened.client.metadata(world.tenant.uid, ALL)).families == families

    async def test_series_are_counted_and_known_by_key(self, world: World) -> None:
        await world.caught_up()
        async with two_zones(world) as (opened, _):
            owners = RemoteOwners(opened.replicas, opened.channels)
            uid, other = world.tenant.uid, b"o" * 16
            counted = await owners.active_series([uid, other])
            assert (counted[uid].series, counted[other]) == (25, Counted())
            by_metric = await owners.metric_series(uid, ["m", "new", "none"])
            assert by_metric == {"m": 25, "new": 0, "none": 0}
            assert counted[uid].largest_metric == 25
            known = KnownSeries(1000)
            batch = world.batch([*MANY, series("new", (T, 1.0), job="x"), series("new", (T, 1.0), job="y")])
            keys = known.unknown(batch)
            held = await owners.known_series(uid, keys)
            assert held.keys() == keys.keys()
            assert sum(sum(bits) for bits in held.values()) == 25
            assert sum(len(bits) for bits in held.values()) == 27


def test_the_compiled_messages_are_current(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    subprocess.run([root / "scripts" / "proto.sh", tmp_path], check=True, timeout=60)
    for name in ("ingester_pb2.py", "ingester_pb2.pyi"):
        assert (tmp_path / "shared" / "rpc" / name).read_text() == (root / "shared" / "rpc" / name).read_text()


def _certificates(folder: Path, *names: str) -> tuple[Path, list[tuple[Path, Path]]]:
    """A certificate authority, and for each name a certificate of 127.0.0.1 with its key."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("authority", authority_key, "authority", authority_key)
    ca = folder / "ca.pem"
    ca.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    pairs = []
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
        made = _certificate(name, key, "authority", authority_key)
        certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        pairs.append((certificate_file, key_file))
    return ca, pairs


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(named(issuer), named(name), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
    builder = builder.not_valid_after(now + datetime.timedelta(hours=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return builder.add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(
        issuer_key, hashes.SHA256()
    )


async def _answering(address: str) -> grpc.aio.Server:
    """An ingester that has nothing to flush."""

    async def flush(request: pb.FlushRequest, context: object) -> pb.FlushReply:
        del request, context
        return pb.FlushReply()

    handler = grpc.unary_unary_rpc_method_handler(
        flush, request_deserializer=pb.FlushRequest.FromString, response_serializer=pb.FlushReply.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {FLUSH.name: handler})])
    server.add_insecure_port(address)
    await server.start()
    return server


async def test_an_ingester_that_is_back_is_reached_at_once() -> None:
    """Not seconds later, when the channel would have tried again by itself."""
    address = f"127.0.0.1:{free_port()}"
    channels = Channels(RpcSettings(secret="secret"))
    try:
        for _ in range(3):
            server = await _answering(address)
            await channels.call(address, FLUSH, pb.FlushRequest(), 10.0)
            await server.stop(None)
            for _ in range(3):
                with pytest.raises(grpc.RpcError):
                    await channels.call(address, FLUSH, pb.FlushRequest(), 10.0)
    finally:
        await channels.close()
