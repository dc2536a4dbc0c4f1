"""The thread that sends records, and the acknowledgements."""

import threading
import time
from dataclasses import replace
from typing import Any

import structlog
from kafka.errors import KafkaError

from shared.kafka import clients
from shared.kafka.failures import reason, unavailable
from shared.kafka.settings import KafkaSettings
from shared.native import Outbox

log = structlog.get_logger(__name__)

_LOOK_MS = 1_000
_RENEW_EVERY_S = 5.0
_LAST_S = 5.0  # for what is on its way when the log is closed: nobody waits for its acknowledgement any more
_RENEW_S = 1.0
"""Nothing is sent meanwhile, and perhaps it was another broker than the others' that failed."""


class Sending:
    """Takes what is due from the outbox and gives it to a producer. What became of it goes back to the outbox, from the
    producer's own thread.

    A producer that has given a record up is replaced, if there is another one to be had: kafka-python never connects
    again to a broker that has once refused its login. What the old one had on its way fails, and may be in the log:
    sent again it merges.
    """

    def __init__(self, settings: KafkaSettings, outbox: Outbox) -> None:
        self.records = 0
        self.bytes = 0
        self._settings = settings
        self._outbox = outbox
        self._producer: Any = clients.producer(settings)
        self._spoilt: Any = None  # the producer that met such an error
        self._renewed = 0.0
        self._reported = ""
        self._thread = threading.Thread(target=self._run, name="kafka-send", daemon=True)

    def start(self) -> None:
        """UnavailableError: nothing is known of the topic, so that the first send would have to wait for it."""
        try:
            self._producer.partitions_for(self._settings.topic)
        except KafkaError as error:
            self._producer.close(timeout=0)
            raise unavailable(error) from error
        self._thread.start()

    def join(self) -> None:
        """The outbox is closed: what it held is sent, acknowledged or given up when this returns."""
        self._thread.join()

    def _run(self) -> None:
        while (due := self._outbox.take(timeout_ms=_LOOK_MS)) is not None:
            if self._spoilt is self._producer:
                self._renew()
            if due:
                with clients.together(self._producer):
                    for record, partition, value in due:
                        self._send(record, partition, value)
        self._end()

    def _send(self, record: int, partition: int, value: bytes) -> None:
        try:
            sent = self._producer.send(self._settings.topic, value=value, partition=partition)
        except Exception as error:  # noqa: BLE001  whatever it is, somebody waits for this record
            self._failed(record, self._producer, error)
            return
        self.records += 1
        self.bytes += len(value)
        sent.add_callback(self._sent, record)
        sent.add_errback(self._failed, record, self._producer)

    def _sent(self, record: int, metadata: Any) -> None:
        if metadata.offset < 0:  # a repetition that the broker knows as one, but no longer its place
            self._outbox.failed(record, "Kafka has the record but does not say where")
        else:
            self._outbox.acked(record, metadata.offset)

    def _failed(self, record: int, producer: Any, error: BaseException) -> None:
        why = reason(error)
        self._outbox.failed(record, why)
        self._spoilt = producer
        if why != self._reported:
            self._reported = why
            log.warning("kafka_send_failed", error=why, kind=type(error).__name__)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < _RENEW_EVERY_S:
            return
        self._renewed = time.monotonic()
        try:
            producer = clients.producer(replace(self._settings, connect_s=_RENEW_S))
        except Exception as error:  # noqa: BLE001  whatever it is, nothing is sent without this thread
            log.warning("kafka_producer_not_renewed", error=str(error), kind=type(error).__name__)
            return
        old, self._producer = self._producer, producer
        _close(old, timeout_s=0)
        log.info("kafka_producer_renewed")

    def _end(self) -> None:
        _close(self._producer, timeout_s=min(self._settings.delivery_s, _LAST_S))


def _close(producer: Any, *, timeout_s: float) -> None:
    try:
        producer.close(timeout=timeout_s)
    except Exception as error:  # noqa: BLE001  it begins by sending what it has, and may not manage to in time
        log.warning("kafka_producer_not_drained", error=reason(error))
        clients.abandon(producer)
