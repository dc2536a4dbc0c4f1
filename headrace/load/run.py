"""A whole run: `Load` puts senders, checks and queries together.

load = Load(Servers.parse("http://127.0.0.1:9009"), [Tenant("shop", token)], Traffic(series=1000, interval_s=1))
running = asyncio.create_task(load.run())
...                                   # kill what is to be killed; read load.writes and load.checks meanwhile
load.stop()
await running                         # what was in hand has been acknowledged, refused or given up
verified = await load.verify()        # everything acknowledged, bit for bit
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from time import monotonic

from headrace.load.alarm import Alarm
from headrace.load.asking import Asked, Asker, Question
from headrace.load.checking import CONSISTENCY, Checker, check_everything, check_for_ever
from headrace.load.errors import LoadError, RequestError
from headrace.load.http import Address, Client
from headrace.load.tally import Checks, Writes
from headrace.load.traffic import Pace, Tenant, Traffic, lanes_of
from headrace.load.writing import HEADERS, Sender
from shared.clock import Clock, SystemClock

WRITE_PATH = "/api/v1/write"
EMPTY_BODY = b"\x00"
"""Snappy's block format of nothing: a write request without series."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Equal servers to write to, and equal servers to ask: one each behind a gateway, or all of a role."""

    write: tuple[Address, ...]
    query: tuple[Address, ...]
    write_path: str = WRITE_PATH

    @classmethod
    def parse(cls, write: str, query: str | None = None, *, write_path: str = WRITE_PATH) -> "Servers":
        """From URLs separated by commas; queries go where the writes go unless told otherwise. Raises LoadError."""
        writes = _addresses(write)
        return cls(writes, _addresses(query) if query else writes, write_path)


def _addresses(urls: str) -> tuple[Address, ...]:
    return tuple(Address.parse(url.strip()) for url in urls.split(","))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How it is sent. `start_ms` is the time of the first data (None: now), from which `speed` counts."""

    senders: int = 8
    speed: float = 1.0
    start_ms: int | None = None
    timeout_s: float = 30.0
    drain_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is asked meanwhile: pages that are compared, and queries that are only timed; so many a second, 0: none."""

    checks_per_s: float = 0.0
    settle_s: float = 0.0
    questions: Sequence[Question] = ()
    queries_per_s: float = 0.0
    askers: int = 8
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Verified:
    """What reading everything back found."""

    checks: Checks
    complete: bool
    """Every page was answered with a result."""
    acknowledged: int
    """Samples that had to be found."""
    seconds: float

    @property
    def passed(self) -> bool:
        checks = self.checks
        return (
            self.complete and checks.failed == checks.admitted == checks.errors.total == 0
        ) and checks.right == self.acknowledged


class Load:
    """Everything that happens is counted in `writes`, `checks` and `asked`, which may be read at any time."""

    def __init__(
        self,
        servers: Servers,
        tenants: Sequence[Tenant],
        traffic: Traffic,
        delivery: Delivery | None = None,
        reading: Reading | None = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        """Raises LoadError if that cannot be."""
        self.servers = servers
        self.traffic = traffic
        self.delivery = delivery or Delivery()
        self.reading = reading or Reading()
        self._clock = clock or SystemClock()
        self._alarm = Alarm()
        self._begun_s = 0.0
        self._ended_s: float | None = None
        self.start_ms = self._clock.now_ms() if self.delivery.start_ms is None else self.delivery.start_ms
        self.tenants = tuple(tenants)
        self.lanes = lanes_of(self.tenants, traffic, self.start_ms)
        self._senders: list[Sender] = []
        self.writes = Writes()
        self.checks = Checks()
        self.asked = Asked()

    @property
    def samples_per_s(self) -> float:
        """At this speed, once it has to be sent at all."""
        return sum(lane.samples for lane in self.lanes) / self.traffic.interval_s * self.delivery.speed

    @property
    def lag_s(self) -> float:
        """How late the body is that has waited longest; 0 if every sender is in time."""
        now_s = monotonic()
        waiting = [since for sender in self._senders if (since := sender.waits_since_s) is not None]
        return max(0.0, now_s - min(waiting)) if waiting else 0.0

    @property
    def seconds(self) -> float:
        """Since the run began, until it ended."""
        if not self._begun_s:
            return 0.0
        return (monotonic() if self._ended_s is None else self._ended_s) - self._begun_s

    async def preflight(self) -> None:
        """Raises LoadError, saying what to change, if the servers do not take what this run would send and ask."""
        for tenant in self.tenants:
            who = f" for instance {tenant.app_id}" if tenant.app_id else ""
            for addresses, method, path, headers, body, kind in (
                (self.servers.write, "POST", self.servers.write_path, HEADERS, EMPTY_BODY, "writes"),
                (self.servers.query, "GET", "/api/v1/query?query=1", CONSISTENCY, b"", "queries"),
            ):
                client = Client(addresses, timeout_s=self.delivery.timeout_s)
                try:
                    answer = await client.request(method, path, headers + tenant.authorization, body)
                except RequestError as error:
                    raise LoadError(f"no server takes {kind}{who}: {error}") from None
                finally:
                    client.close()
                if answer.status in {401, 403}:
                    raise LoadError(
                        f"{addresses[0]} answers {answer.status} to {kind}{who}: "
                        "give APPID and token with --instances, or the token in HEADRACE_TOKEN"
                    )
                if answer.status >= 300:
                    raise LoadError(f"{addresses[0]}{path} answers {answer.status} to {kind}{who}: {answer.text}")

    async def run(self, seconds: float | None = None) -> None:
        """Writes, asks and checks for so long, or until `stop`; returns when the senders have drained."""
        loop = asyncio.get_running_loop()
        self._begun_s, self._ended_s = monotonic(), None
        pace = Pace(self.start_ms, self._clock.now_ms(), self._begun_s, self.delivery.speed)
        timer = None if seconds is None else loop.call_later(seconds, self.stop)
        try:
            async with asyncio.TaskGroup() as group:
                self._senders = [self._sender(number, pace) for number in range(self.delivery.senders)]
                for sender in self._senders:
                    group.create_task(sender.run())
                if self.reading.checks_per_s:
                    checker = self._checker(0, self.checks, settle_s=self.reading.settle_s)
                    per_s, seed = self.reading.checks_per_s, self.traffic.seed
                    group.create_task(check_for_ever(checker, self.lanes, self._alarm, per_s=per_s, seed=seed))
                if self.reading.questions and self.reading.queries_per_s:
                    turns = count()
                    for number in range(self.reading.askers):
                        group.create_task(self._asker(turns, number, pace).run())
        finally:
            self._ended_s = monotonic()
            if timer is not None:
                timer.cancel()

    def stop(self) -> None:
        """Nothing more becomes due. May be called more than once, from the loop's thread."""
        self._alarm.ring()

    async def verify(self, *, checkers: int = 4, patience_s: float = 120.0) -> Verified:
        """Reads back everything that was sent. A page that cannot be answered is tried again for `patience_s`."""
        begun_s, checks = monotonic(), Checks()
        await asyncio.sleep(self.reading.settle_s)
        working = [self._checker(number, checks, settle_s=0.0) for number in range(checkers)]
        complete = await check_everything(working, self.lanes, patience_s=patience_s)
        return Verified(checks, complete, self.writes.samples, monotonic() - begun_s)

    def _sender(self, number: int, pace: Pace) -> Sender:
        lanes = self.lanes[number :: self.delivery.senders]
        client = Client(self.servers.write, first=number, timeout_s=self.delivery.timeout_s)
        return Sender(
            lanes,
            client,
            pace,
            interval_ms=self.traffic.interval_ms,
            path=self.servers.write_path,
            writes=self.writes,
            alarm=self._alarm,
            drain_s=self.delivery.drain_s,
        )

    def _checker(self, number: int, checks: Checks, *, settle_s: float) -> Checker:
        client = Client(self.servers.query, first=number, timeout_s=self.reading.timeout_s)
        return Checker(
            client,
            start_ms=self.start_ms,
            interval_ms=self.traffic.interval_ms,
            checks=checks,
            settle_s=settle_s,
        )

    def _asker(self, turns: "count[int]", number: int, pace: Pace) -> Asker:
        client = Client(self.servers.query, first=number, timeout_s=self.reading.timeout_s)
        return Asker(
            turns,
            self.reading.questions,
            self.tenants,
            client,
            pace,
            self._alarm,
            self.asked,
            per_s=self.reading.queries_per_s,
        )
