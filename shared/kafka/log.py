"""The whole, as `shared.seams.log.Log`."""

import asyncio
import contextlib
import os
from collections.abc import Sequence

from shared.errors import TooLargeError, UnavailableError
from shared.faults import fault
from shared.kafka import clients
from shared.kafka.lookups import Lookups
from shared.kafka.reader import KafkaLogReader, Losses
from shared.kafka.sending import Sending
from shared.kafka.settings import KafkaSettings
from shared.native import Outbox, RecordDecoder, SplitBatch, Splitter
from shared.native import TooLargeError as NativeTooLargeError

_EXPIRE_EVERY_S = 1.0

Outcome = dict[int, int] | UnavailableError


class KafkaLog:
    """`shared.seams.log.Log`: one topic, whose partitions are Headrace's, and whose offsets are the records'.

    All methods belong to one event loop, and none blocks it: records are sent by a thread of their own, and one
    wake-up of the loop resolves every append that they made durable.
    """

    def __init__(self, settings: KafkaSettings, splitter: Splitter) -> None:
        """Blocks while it finds the brokers. UnavailableError: none answers. InternalError: this process cannot speak
        to them, whatever they do.
        """
        clients.check_extension()
        self.losses = Losses()
        self._settings = settings
        self._splitter = splitter
        self._outbox = Outbox(
            queue_bytes=settings.queue_bytes,
            linger_ms=settings.linger_ms,
            max_linger_ms=settings.max_linger_ms,
            rest_ms=settings.rest_ms,
            records_per_second=settings.records_per_second,
            deadline_ms=int(settings.delivery_s * 1000),
        )
        self._sending = Sending(settings, self._outbox)
        self._sending.start()
        self._lookups = Lookups(settings)
        self._lookups.start()
        self._readers: list[KafkaLogReader] = []
        self._waiting: dict[int, asyncio.Future[dict[int, int]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._expiring: asyncio.TimerHandle | None = None

    async def append(self, batch: SplitBatch, *, now_ms: int) -> dict[int, int]:
        self._listen()
        try:
            ticket = self._outbox.add(batch, now_ms=now_ms)
        except BlockingIOError as error:
            raise UnavailableError(f"{error}: Kafka is slower than the senders", retry_after_s=2) from error
        except NativeTooLargeError as error:
            raise TooLargeError(str(error)) from error
        except OSError as error:
            raise UnavailableError("the log is closed", retry_after_s=10) from error
        fault("log.queued")
        offsets = await self._durable(ticket)
        fault("log.durable")
        return offsets

    async def append_seal(self, partition: int, windows: Sequence[int]) -> int:
        self._listen()
        fault("seal.before")
        try:
            ticket = self._outbox.add_seal(partition, windows)
        except BlockingIOError as error:
            raise UnavailableError(f"{error}: Kafka is slower than the senders", retry_after_s=2) from error
        except OSError as error:
            raise UnavailableError("the log is closed", retry_after_s=10) from error
        offsets = await self._durable(ticket)
        fault("seal.after")
        return offsets[partition]

    async def end_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return await self._lookups.offsets("end", partitions)

    async def first_offsets(self, partitions: Sequence[int]) -> dict[int, int]:
        return await self._lookups.offsets("first", partitions)

    def reader(self) -> KafkaLogReader:
        reader = KafkaLogReader(self._settings, RecordDecoder(self._splitter), self.losses)
        self._readers = [*(other for other in self._readers if not other.is_gone), reader]
        return reader

    async def trim(self, replay_from: dict[int, int]) -> None:
        """Nothing: the topic's retention does it."""

    async def close(self) -> None:
        """What is queued is sent and acknowledged first, for some seconds at most."""
        self._outbox.close()
        await asyncio.to_thread(self._sending.join)
        self._on_signal()
        for durable in self._waiting.values():
            if not durable.done():
                durable.set_exception(UnavailableError("the log was closed before the write was durable"))
        self._waiting.clear()
        if self._expiring is not None:
            self._expiring.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self._outbox.fileno())
            self._loop = None
        for reader in self._readers:
            reader.close()
        await asyncio.to_thread(self._end)

    @property
    def held_bytes(self) -> int:
        """Of appends that are not acknowledged; `queue_bytes` is the limit."""
        return self._outbox.held_bytes

    @property
    def waiting(self) -> int:
        """Appends that are not acknowledged."""
        return self._outbox.waiting

    @property
    def records_sent(self) -> int:
        return self._sending.records

    @property
    def bytes_sent(self) -> int:
        return self._sending.bytes

    @property
    def lookups(self) -> int:
        """Look-ups of offsets, each for all that were waiting."""
        return self._lookups.count

    def _end(self) -> None:
        self._lookups.close()
        for reader in self._readers:
            reader.join()

    async def _durable(self, ticket: int) -> dict[int, int]:
        durable: asyncio.Future[dict[int, int]] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = durable
        return await durable

    def _listen(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._outbox.fileno(), self._on_signal)
            self._expiring = self._loop.call_later(_EXPIRE_EVERY_S, self._expire)

    def _on_signal(self) -> None:
        with contextlib.suppress(BlockingIOError):  # an earlier read took this signal along
            os.read(self._outbox.fileno(), 4096)
        for ticket, offsets, why in self._outbox.finished():
            durable = self._waiting.pop(ticket, None)
            if durable is None or durable.done():  # a cancelled sender
                continue
            if offsets is None:
                durable.set_exception(
                    UnavailableError(f"the write may not be in the log, send it again: {why}", retry_after_s=5)
                )
            else:
                durable.set_result(offsets)

    def _expire(self) -> None:
        """A deadline that holds whatever the threads are doing."""
        self._outbox.expire()
        if self._loop is not None:
            self._expiring = self._loop.call_later(_EXPIRE_EVERY_S, self._expire)
