"""How long a reader waits in one piece."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.kafka import clients
from shared.kafka.reader import KafkaLogReader, Losses
from shared.kafka.settings import KafkaSettings
from shared.native import RecordDecoder, Splitter

SETTINGS = KafkaSettings(brokers=("127.0.0.1:1",))


class Consumer:
    """Has nothing, and takes as long to say so as it is given."""

    def __init__(self, clock: "Clock") -> None:
        self.waits_ms: list[float] = []
        self._clock = clock

    def assign(self, partitions: list[Any]) -> None: ...

    def seek(self, partition: Any, offset: int) -> None: ...

    def poll(self, *, timeout_ms: float, **_: int) -> dict[Any, Any]:
        self.waits_ms.append(timeout_ms)
        self._clock.now_s += timeout_ms / 1000
        return {}

    def close(self, *, autocommit: bool) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("shared.kafka.reader.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Consumer:
    consumer = Consumer(clock)
    monkeypatch.setattr(clients, "consumer", lambda _: consumer)
    return consumer


def test_a_reader_waits_in_longer_pieces_once_nobody_has_changed_anything_for_a_while(
    clock: Clock, consumer: Consumer
) -> None:
    reader = KafkaLogReader(SETTINGS, RecordDecoder(Splitter(secret=b"secret of the tests", partitions=1)), Losses())
    reader.assign({0: 7})
    assert reader.read(max_records=10, timeout_ms=500) == []
    assert max(consumer.waits_ms) == pytest.approx(100)
    clock.now_s += 60
    consumer.waits_ms.clear()
    assert reader.read(max_records=10, timeout_ms=500) == []
    assert max(consumer.waits_ms) == pytest.approx(500)
    consumer.waits_ms.clear()
    reader.wake()
    assert reader.read(max_records=10, timeout_ms=500) == []
    assert consumer.waits_ms == [0]
    consumer.waits_ms.clear()
    assert reader.read(max_records=10, timeout_ms=500) == []
    assert max(consumer.waits_ms) == pytest.approx(100)
    reader.close()
    reader.join()
