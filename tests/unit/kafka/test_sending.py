"""What becomes of records that a producer refuses, and of producers that are of no use any more."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka.errors import ClusterAuthorizationFailedError, KafkaTimeoutError, NotEnoughReplicasError
from kafka.future import Future

from shared.errors import InternalError, UnavailableError
from shared.kafka import clients, sending
from shared.kafka.sending import Sending
from shared.kafka.settings import KafkaSettings
from shared.native import Outbox

SETTINGS = KafkaSettings(brokers=("127.0.0.1:1",), topic="t", delivery_s=60.0)
DEADLINE_S = 30.0


class Metadata:
    def __init__(self, offset: int) -> None:
        self.offset = offset


class Producer:
    """Answers each record with what the test says: an offset, an error for its future, or an error of `send`."""

    def __init__(self, answer: Callable[[], int | Exception], *, refuses: bool = False) -> None:
        self.answer = answer
        self.refuses = refuses
        self.closed = False
        self.is_gathering = False
        self._sender: Any = self
        self._client = self

    @contextmanager
    def gathering(self) -> Iterator[None]:
        self.is_gathering = True
        yield
        self.is_gathering = False

    def partitions_for(self, topic: str) -> set[int]:
        assert topic == "t"
        return {0}

    def send(self, topic: str, *, value: bytes, partition: int) -> Any:
        assert (topic, partition) == ("t", 0)
        assert self.is_gathering
        assert value.startswith(b"HRRC")
        answer = self.answer()
        if self.refuses and isinstance(answer, Exception):
            raise answer
        future = Future()
        if isinstance(answer, Exception):
            return future.failure(answer)
        return future.success(Metadata(answer))

    def close(self, timeout: float) -> None:
        assert timeout >= 0
        self.closed = True


class Undrained(Producer):
    """Its `close` ends nothing while something is on its way, as kafka-python's."""

    def __init__(self, answer: Callable[[], int | Exception]) -> None:
        super().__init__(answer)
        self.is_forced = False

    def force_close(self) -> None:
        self.is_forced = True

    def close(self, timeout: float) -> None:
        if not self.is_forced:
            raise KafkaTimeoutError("Timeout waiting for future")
        super().close(timeout)


def outbox() -> Outbox:
    return Outbox(
        queue_bytes=1 << 20, linger_ms=0, max_linger_ms=0, rest_ms=0, records_per_second=500, deadline_ms=60_000
    )


def outcome_of_a_record(box: Outbox) -> dict[int, int] | str | None:
    ticket = box.add_seal(0, [0])
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        for finished, offsets, why in box.finished():
            assert finished == ticket
            return why if offsets is None else offsets
        time.sleep(0.001)
    raise AssertionError("nothing became of the record")


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Producer]:
    """Taken one after the other by who asks for a producer; the last one stays."""
    queue: list[Producer] = []
    monkeypatch.setattr(clients, "producer", lambda _settings: queue.pop(0))
    monkeypatch.setattr(sending, "_RENEW_EVERY_S", 0.0)
    return queue


def begin(box: Outbox) -> Sending:
    begun = Sending(SETTINGS, box)
    begun.start()
    return begun


def end(box: Outbox, begun: Sending) -> None:
    box.close()
    begun.join()
    assert "kafka-send" not in {thread.name for thread in threading.enumerate()}


def test_a_failure_says_what_to_look_at(producers: list[Producer]) -> None:
    answers: list[int | Exception] = [NotEnoughReplicasError(), KafkaTimeoutError("expired"), 5]
    producers += [Producer(lambda: answers.pop(0)) for _ in range(3)]
    box = outbox()
    begun = begin(box)
    assert "min.insync.replicas" in str(outcome_of_a_record(box))
    assert "do not answer in time" in str(outcome_of_a_record(box))
    assert outcome_of_a_record(box) == {0: 5}
    assert begun.records == 3
    end(box, begun)


def test_a_producer_that_gave_a_record_up_is_replaced_and_not_at_once_again(
    producers: list[Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    gives_up, next_one = Producer(lambda: KafkaTimeoutError("expired")), Producer(lambda: KafkaTimeoutError("expired"))
    producers += [gives_up, next_one]
    box = outbox()
    begun = begin(box)
    outcome_of_a_record(box)
    outcome_of_a_record(box)
    assert (gives_up.closed, next_one.closed) == (True, False)
    monkeypatch.setattr(sending, "_RENEW_EVERY_S", 3600.0)
    outcome_of_a_record(box)
    assert not next_one.closed
    end(box, begun)
    assert next_one.closed


def test_a_producer_that_is_spoilt_is_replaced(producers: list[Producer]) -> None:
    spoilt = Producer(lambda: ClusterAuthorizationFailedError())
    fresh = Producer(lambda: 7)
    producers += [spoilt, fresh]
    box = outbox()
    begun = begin(box)
    assert "ClusterAuthorizationFailedError" in str(outcome_of_a_record(box))
    assert outcome_of_a_record(box) == {0: 7}
    assert (spoilt.closed, fresh.closed) == (True, False)
    end(box, begun)


def test_a_spoilt_producer_that_cannot_be_closed_is_abandoned_and_sending_goes_on(producers: list[Producer]) -> None:
    spoilt, fresh = Undrained(lambda: KafkaTimeoutError("expired")), Producer(lambda: 7)
    producers += [spoilt, fresh]
    box = outbox()
    begun = begin(box)
    assert "do not answer in time" in str(outcome_of_a_record(box))
    assert outcome_of_a_record(box) == {0: 7}
    assert (spoilt.is_forced, spoilt.closed) == (True, True)
    end(box, begun)


def test_the_old_producer_serves_while_there_is_no_new_one(
    producers: list[Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int | Exception] = [ClusterAuthorizationFailedError(), 3]
    producers.append(Producer(lambda: answers.pop(0)))
    box = outbox()
    begun = begin(box)

    def away(_settings: KafkaSettings) -> Producer:
        raise UnavailableError("no broker")

    monkeypatch.setattr(clients, "producer", away)
    assert "ClusterAuthorizationFailedError" in str(outcome_of_a_record(box))
    assert outcome_of_a_record(box) == {0: 3}
    end(box, begun)


def test_a_send_that_raises_fails_its_record_alone(producers: list[Producer]) -> None:
    answers: list[int | Exception] = [ValueError("Unrecognized partition 0"), 4]
    producers += [Producer(lambda: answers.pop(0), refuses=True), Producer(lambda: answers.pop(0))]
    box = outbox()
    begun = begin(box)
    assert "Unrecognized partition" in str(outcome_of_a_record(box))
    assert outcome_of_a_record(box) == {0: 4}
    end(box, begun)


def test_a_record_whose_place_is_not_told_is_not_acknowledged(producers: list[Producer]) -> None:
    producers.append(Producer(lambda: -1))
    box = outbox()
    begun = begin(box)
    assert "does not say where" in str(outcome_of_a_record(box))
    end(box, begun)


def test_the_checksum_extension_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clients.check_extension()
    monkeypatch.setattr(clients.record_util, "crc32c_c", None)
    with pytest.raises(InternalError, match="pip install crc32c"):
        clients.check_extension()
