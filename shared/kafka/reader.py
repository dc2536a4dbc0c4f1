"""Records of assigned partitions, for one thread."""

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import CorruptRecordError, KafkaError, LogTruncationError, OffsetOutOfRangeError

from shared.kafka import clients
from shared.kafka.failures import unavailable
from shared.kafka.lookups import Which, ask_consumer
from shared.kafka.settings import KafkaSettings
from shared.native import CanceledError, CorruptError, LogRecord, RecordDecoder, UnsupportedError
from shared.seams.log import Damaged, Fetched

log = structlog.get_logger(__name__)

_SLICE_S = 0.1
"""kafka-python's wait cannot be ended from outside, so it is cut into such pieces …"""
_SETTLED_SLICE_S = 0.5
_SETTLED_S = 10.0
"""… and into these once nothing was assigned and nobody has called for so long: each costs a third of a millisecond."""

_READ_BYTES = 1 << 20
"""Decoded bytes after which a read returns what it has: they are applied before more is decoded."""

_TRY_AGAIN_S = 60.0
"""After which a partition is read again that stopped at something which can be mended."""


@dataclass(slots=True)
class Losses:
    """What readers had to pass over. Counted by their threads."""

    lost: int = 0
    damaged: int = 0


@dataclass(slots=True)
class _Share:
    """What a read gives of one partition."""

    end: int
    records: list[LogRecord] = field(default_factory=list)
    lost: int = 0
    damaged: list[Damaged] = field(default_factory=list)
    stopped: str | None = None
    held_back: bool = False  # what follows is fetched again, or not at all


@dataclass(frozen=True, slots=True)
class _Stop:
    why: str
    until: float  # by the monotonic clock; then it is tried again


class KafkaLogReader:
    """`shared.seams.log.LogReader` over a consumer of its own, which is made when the first read needs it.

    A record that cannot be decoded is fetched once more before it is told as damaged: the second copy comes through
    other memory, and perhaps from another disk.

    kafka-python never returns from a poll that follows one which met bytes that are no batch of records. So a consumer
    that has raised is not asked again.

    A poll takes all that has come. Were some left with kafka-python, it would fetch the other partitions meanwhile, and
    ask for this one again only when their brokers have something or have waited for it as long as they may.
    """

    def __init__(self, settings: KafkaSettings, decoder: RecordDecoder, losses: Losses) -> None:
        self._settings = settings
        self._decoder = decoder
        self._losses = losses
        self._consumer: Any = None
        self._positions: dict[int, int] = {}
        self._assigned: list[int] = []  # what the consumer reads
        self._sought: set[int] = set()  # those of them that it reads from their position on
        self._polled: dict[int, deque[Any]] = {}  # what was polled of those and is not decoded yet
        self._stops: dict[int, _Stop] = {}
        self._suspect: set[tuple[int, int]] = set()  # partition and offset of what is fetched again
        self._woken = threading.Event()
        self._changed_at = time.monotonic()  # who begins or ends something often does more of it
        self._closed = False
        self._reading = threading.Lock()

    def assign(self, positions: Mapping[int, int]) -> None:
        self._changed_at = time.monotonic()
        kept = {partition for partition, offset in positions.items() if self._positions.get(partition) == offset}
        self._positions = dict(positions)
        self._sought &= kept
        self._stops = {partition: stop for partition, stop in self._stops.items() if partition in kept}
        self._suspect = {(partition, offset) for partition, offset in self._suspect if partition in kept}

    def read(self, *, max_records: int, timeout_ms: int) -> list[Fetched]:
        if not self._positions:
            raise ValueError("nothing is assigned")
        deadline = time.monotonic() + timeout_ms / 1000
        with self._reading:
            try:
                while True:
                    if self._closed:
                        raise CanceledError("the reader is closed")
                    left_s = deadline - time.monotonic()
                    patience_s = 0.0 if self._woken.is_set() else max(0.0, min(left_s, self._slice_s))
                    if fetched := self._fetch(max_records, patience_s):
                        return fetched
                    if self._woken.is_set() and not self._closed:
                        self._woken.clear()
                        return []
                    if left_s <= 0:
                        return []
            finally:
                if self._closed:
                    self._drop_consumer()

    def wake(self) -> None:
        self._changed_at = time.monotonic()
        self._woken.set()

    def close(self) -> None:
        """Waits for nothing: a read that runs ends by itself, and connections are closed by a thread of their own."""
        if self._closed:
            return
        self._closed = True
        self._woken.set()
        threading.Thread(target=self.join, name="kafka-reader-close", daemon=True).start()

    def join(self) -> None:
        """It is closed; blocks until nothing of it is left."""
        with self._reading:
            self._drop_consumer()

    @property
    def _slice_s(self) -> float:
        """How long a poll waits at most, and with it whoever changes or ends something."""
        return _SLICE_S if time.monotonic() - self._changed_at < _SETTLED_S else _SETTLED_SLICE_S

    @property
    def is_gone(self) -> bool:
        return self._closed and self._consumer is None

    def _fetch(self, max_records: int, patience_s: float) -> list[Fetched]:
        wanted = [partition for partition in self._positions if not self._is_stopped(partition)]
        if not wanted:
            self._woken.wait(patience_s)
            return []
        consumer = self._following(wanted)
        shares: dict[int, _Share] = {}
        try:
            self._poll(consumer, shares, max_records, patience_s)
        except Exception as error:  # noqa: BLE001  damaged bytes make a parser raise anything
            if not isinstance(error, OffsetOutOfRangeError):
                self._drop_consumer()
            if not shares:  # otherwise it comes again with the next read
                return self._troubled(wanted, error)
        return [fetched for partition, share in shares.items() if (fetched := self._settle(partition, share))]

    def _poll(self, consumer: Any, shares: dict[int, _Share], max_records: int, patience_s: float) -> None:
        """Fills `shares` with what there is."""
        if not self._polled:
            polled = consumer.poll(timeout_ms=patience_s * 1000, max_records=sys.maxsize)
            self._polled = {tp.partition: deque(records) for tp, records in polled.items()}
        room, held_bytes = max_records, 0
        for partition, records in list(self._polled.items()):
            share = shares[partition] = _Share(self._positions[partition])
            while records and room > 0 and held_bytes < _READ_BYTES:
                held_bytes += self._take(partition, share, records.popleft())
                room -= 1
            if not records:
                del self._polled[partition]

    def _take(self, partition: int, share: _Share, record: Any) -> int:
        """The bytes that the decoded record keeps in memory."""
        offset, value = record.offset, record.value or b""
        if share.held_back or offset < share.end:
            return 0
        try:
            decoded = self._decoder.decode(partition, offset, value)
        except UnsupportedError as error:
            share.stopped, share.held_back = f"{error}: start the release that wrote it", True
            return 0
        except CorruptError as error:
            if (partition, offset) not in self._suspect:
                log.warning("log_record_fetched_again", partition=partition, offset=offset, error=str(error))
                self._suspect.add((partition, offset))
                self._sought.discard(partition)
                share.held_back = True
                return 0
            self._suspect.discard((partition, offset))
            share.damaged.append(Damaged(offset, value, str(error)))
            self._pass(share, offset)
            return len(value)
        self._pass(share, offset)
        share.records.append(decoded)
        return decoded.held_bytes

    @staticmethod
    def _pass(share: _Share, offset: int) -> None:
        """Every record must begin where the one before it ended."""
        share.lost += offset - share.end
        share.end = offset + 1

    def _settle(self, partition: int, share: _Share) -> Fetched | None:
        begin = self._positions[partition]
        if share.end == begin and share.stopped is None:
            return None
        self._positions[partition] = share.end
        if share.stopped is not None:
            self._stop(partition, share.stopped, math.inf)
        self._losses.lost += share.lost
        self._losses.damaged += len(share.damaged)
        if share.lost:
            log.error("log_records_lost", partition=partition, offset=begin, lost=share.lost)
        for damaged in share.damaged:
            log.error("log_record_damaged", partition=partition, offset=damaged.offset, error=damaged.reason)
        return Fetched((partition,), share.records, share.end, share.lost, tuple(share.damaged), share.stopped)

    # ---- what goes wrong ----

    def _troubled(self, wanted: Sequence[int], error: Exception) -> list[Fetched]:
        match error:
            case OffsetOutOfRangeError():
                return self._out_of_range([tp.partition for tp in error.args[0]])
            case LogTruncationError():
                return [self._truncated(p) for p in wanted if self._tp(p) in error.divergent_offsets]
            case KafkaError() if not _tells_damage(error):
                raise unavailable(error) from error
            case _:
                return self._unreadable(wanted, error)

    def _out_of_range(self, partitions: Sequence[int]) -> list[Fetched]:
        """Goes on where the log begins now, or stops where it ends too early."""
        firsts, ends = self._ask("first", partitions), self._ask("end", partitions)
        found: list[Fetched | None] = []
        for partition in partitions:
            self._sought.discard(partition)
            position = self._positions[partition]
            if position > ends[partition]:
                found.append(self._truncated(partition))
            else:
                first = max(position, firsts[partition])
                found.append(self._settle(partition, _Share(first, lost=first - position)))
        return [fetched for fetched in found if fetched is not None]

    def _truncated(self, partition: int) -> Fetched:
        position = self._positions[partition]
        why = (
            f"partition {partition} of topic {self._settings.topic} no longer holds all that was read of it up to "
            f"{position}: the topic was made anew, or an unclean election took acknowledged records away. A restart "
            "replays what is there"
        )
        return self._stop(partition, why, math.inf)

    def _unreadable(self, partitions: Sequence[int], error: Exception) -> list[Fetched]:
        """Some partition has bytes that are no batch of records, and the error does not say which: each is read alone.

        Those that cannot be read a second time stop, so that the others go on.
        """
        log.warning("log_batch_fetched_again", error=str(error))
        found = []
        ends = self._ask("end", partitions)
        for partition in partitions:
            position = self._positions[partition]
            if position >= ends[partition]:
                continue  # nothing of it can have been read
            consumer = self._following([partition])
            try:
                consumer.poll(timeout_ms=self._settings.lookup_s * 1000, max_records=1)
            except Exception as again:
                if isinstance(again, KafkaError) and not _tells_damage(again):
                    raise unavailable(again) from again
                why = (
                    f"partition {partition} of topic {self._settings.topic} has bytes behind offset {position} that "
                    "are no records, on the disk of the broker that leads it: let another replica lead it "
                    "(kafka-leader-election.sh), or remove what is damaged (kafka-delete-records.sh)"
                )
                found.append(self._stop(partition, why, time.monotonic() + _TRY_AGAIN_S))
            finally:
                self._drop_consumer()
        return found

    def _stop(self, partition: int, why: str, until: float) -> Fetched:
        log.error("log_partition_stopped", partition=partition, error=why)
        self._stops[partition] = _Stop(why, until)
        return Fetched((partition,), [], self._positions[partition], stopped=why)

    def _is_stopped(self, partition: int) -> bool:
        stop = self._stops.get(partition)
        if stop is not None and stop.until <= time.monotonic():
            del self._stops[partition]
            stop = None
        return stop is not None

    # ---- the consumer ----

    def _following(self, wanted: list[int]) -> Any:
        """A consumer that reads these partitions, each from where the last read ended."""
        if self._consumer is None:
            self._consumer = clients.consumer(self._settings)
        if self._assigned != wanted:
            self._consumer.assign([self._tp(partition) for partition in wanted])
            self._assigned = wanted
            self._sought.intersection_update(wanted)
        self._polled = {partition: records for partition, records in self._polled.items() if partition in self._sought}
        for partition in wanted:
            if partition not in self._sought:
                self._consumer.seek(self._tp(partition), self._positions[partition])
                self._sought.add(partition)
        return self._consumer

    def _ask(self, which: Which, partitions: Iterable[int]) -> dict[int, int]:
        if self._consumer is None:
            self._consumer = clients.consumer(self._settings)
        try:
            return ask_consumer(self._consumer, self._settings, which, partitions)
        except KafkaError as error:
            raise unavailable(error) from error

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.topic, partition)

    def _drop_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._assigned = []
        self._sought.clear()
        self._polled.clear()
        if consumer is not None:
            consumer.close(autocommit=False)


def _tells_damage(error: KafkaError) -> bool:
    return isinstance(error, CorruptRecordError) or type(error) is KafkaError  # a batch of a length that cannot be
