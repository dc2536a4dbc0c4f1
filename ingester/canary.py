"""A sample of our own in every partition, now and then: how long it takes until it can be read.

It takes the way of everybody's samples: split, appended to the log, applied by the head of its partition, asked for as
queriers ask. Each zone has a series of its own, and an owner writes and reads those of its partitions. The instances
that they belong to are in no registry: nobody has a credential for them, and no limit counts them.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Sequence
from itertools import count, cycle

import structlog

from ingester.client import LocalClient
from ingester.holdings import Holdings
from shared.clock import Clock
from shared.errors import InternalError, UnavailableError
from shared.native import Import, Matcher, Query, Selection, SplitBatch, Splitter, WriteLimits, json_samples
from shared.seams.log import Log

log = structlog.get_logger(__name__)

RETENTION_MS = 3600 * 1000
"""Of its blocks: nobody asks for them."""

_NAME = "headrace_canary"
_PREFIX = b"\0headrace\0\0\0"  # of its uids, whose other four bytes are a number; those of instances are random
_PATIENCE_S = 60.0
_LIMITS = WriteLimits(max_future_ms=None)
_MATCHERS = (Matcher("__name__", "=", _NAME),)


def is_canary(uid: bytes) -> bool:
    return uid.startswith(_PREFIX)


def uids(partitions_of: Callable[[bytes, int], Sequence[int]], partitions: int) -> list[bytes]:
    """For each partition the first uid whose only one it is: the same in every process of a cluster."""
    found: dict[int, bytes] = {}
    for number in count():
        uid = _PREFIX + number.to_bytes(4, "big")
        [partition] = partitions_of(uid, 1)
        found.setdefault(partition, uid)
        if len(found) == partitions:
            break
    return [found[partition] for partition in range(partitions)]


class Canary:
    """`owned` tells the partitions whose canary is this process's to write."""

    def __init__(
        self,
        log: Log,
        holdings: Holdings,
        splitter: Splitter,
        *,
        partitions: int,
        zone: str,
        owned: Callable[[], Collection[int]],
        clock: Clock,
        every_s: float,
    ) -> None:
        self._log = log
        self._holdings = holdings
        self._client = LocalClient(holdings)
        self._splitter = splitter
        self._uids = uids(splitter.partitions_of, partitions)
        self._zone = zone
        self._owned = owned
        self._clock = clock
        self._every_s = every_s
        self._delays: dict[int, float] = {}
        self._waiting_since: dict[int, float] = {}  # for a canary that can be read
        self._under_way: set[int] = set()

    async def run(self) -> None:
        """Until it is cancelled. The partitions take turns, so that each has its canary every `every_s`."""
        pause_s = self._every_s / len(self._uids)
        async with asyncio.TaskGroup() as tasks:
            for number in cycle(range(len(self._uids))):
                if not self._is_ours(number):
                    self._forget(number)
                elif number not in self._under_way:
                    tasks.create_task(self._try(number), name=f"canary-{number}")
                await asyncio.sleep(pause_s)

    def delays(self) -> dict[int, float]:
        """partition → seconds from the append of its last canary until it could be read. While none gets through it is
        the time since the first of these was written, if that is longer.
        """
        now = self._clock.monotonic()
        waiting = {number: now - since for number, since in self._waiting_since.items()}
        return {
            number: max(self._delays.get(number, 0.0), waiting.get(number, 0.0))
            for number in sorted(self._delays.keys() | waiting.keys())
        }

    async def send(self, number: int) -> None:
        """Writes a canary and returns once it could be read. Raises what the log and the head raise."""
        begun = self._clock.monotonic()
        self._waiting_since.setdefault(number, begun)
        at_ms = self._clock.now_ms()
        offsets = await self._log.append(self._batch(number, at_ms), now_ms=at_ms)
        await self._holdings.reached({number: offsets[number] + 1})
        await self._read(number, at_ms)
        self._delays[number] = self._clock.monotonic() - begun
        self._waiting_since.pop(number, None)

    async def _try(self, number: int) -> None:
        self._under_way.add(number)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.send(number)
        except Exception as error:  # noqa: BLE001  no ingester ends of this; `delays` tells since when
            log.info("canary_lost", partition=number, error=str(error), kind=type(error).__name__)
        finally:
            self._under_way.discard(number)

    def _is_ours(self, number: int) -> bool:
        """While it replays, the other zone answers for it, and `/ready` tells how far it is."""
        partition = self._holdings.partitions.get(number)
        return partition is not None and not partition.replaying and number in self._owned()

    def _forget(self, number: int) -> None:
        self._delays.pop(number, None)
        self._waiting_since.pop(number, None)

    def _batch(self, number: int, at_ms: int) -> SplitBatch:
        """Its value is its time: two owners of a partition, as during a hand-over, never contradict one another."""
        text = f'{_NAME}{{zone="{self._zone}"}} {at_ms} {at_ms}\n'.encode()
        message = Import(text, open_metrics=False, now_ms=at_ms).next_piece(len(text))
        if message is None:
            raise InternalError(f"the canary of zone {self._zone!r} cannot be written")
        return self._splitter.split_plain(
            message,
            uid=self._uids[number],
            shards=1,
            limits=_LIMITS,
            now_ms=at_ms,
        )

    async def _read(self, number: int, at_ms: int) -> None:
        """UnavailableError: the head does not answer, or without the sample."""
        query = Query()
        answers = await self._client.select(query, self._uids[number], {number: 0}, _MATCHERS, at_ms, at_ms)
        for why in answers.missing.values():
            raise UnavailableError(why)
        selection = Selection(query, _MATCHERS, at_ms, at_ms)
        for answer in answers.given:
            if answer.part is not None:
                selection.add_part(answer.part)
        text, _ = json_samples(query, selection.finish(), at_ms, at_ms, 0)
        if not any(row["metric"].get("zone") == self._zone for row in json.loads(text)):
            raise UnavailableError(f"partition {number} does not show the canary that it has applied")
