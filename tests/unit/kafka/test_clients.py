"""When kafka-python's own thread is woken."""

import threading

import pytest

from shared.kafka.clients import Client


class Net:
    """Counts how often its thread was woken."""

    def __init__(self) -> None:
        self.wakes = 0

    def wakeup(self) -> None:
        self.wakes += 1


def give_one_that_is_refused(client: Client) -> None:
    with client.gathering():
        client.wakeup()
        raise OSError("refused")


@pytest.fixture
def net() -> Net:
    return Net()


def test_what_a_thread_gives_together_wakes_it_once_at_the_end(net: Net) -> None:
    client = Client(net=net, manager=object())
    with client.gathering():
        for _ in range(3):
            client.wakeup()
        assert net.wakes == 0
    assert net.wakes == 1
    client.wakeup()
    assert net.wakes == 2


def test_nothing_given_wakes_nobody_and_an_error_loses_no_wake(net: Net) -> None:
    client = Client(net=net, manager=object())
    with client.gathering():
        pass
    assert net.wakes == 0
    with pytest.raises(OSError, match="refused"):
        give_one_that_is_refused(client)
    assert net.wakes == 1


def test_other_threads_wake_it_meanwhile(net: Net) -> None:
    client = Client(net=net, manager=object())
    with client.gathering():
        other = threading.Thread(target=client.wakeup)
        other.start()
        other.join()
        assert net.wakes == 1
    assert net.wakes == 1
