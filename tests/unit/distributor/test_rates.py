"""The rate of an instance: what may come at once, what in the long run, and how it is shared."""

from dataclasses import replace

import pytest

from distributor.rates import MAX_INSTANCES, MAX_WAIT_S, Rates
from shared.errors import LimitedError
from shared.model.instance import Instance, Limits
from tests.support.clock import FakeClock


def instance(number: int = 0, *, rate: int = 10, burst: int = 100) -> Instance:
    limits = Limits(max_samples_per_second=rate, max_burst_samples=burst)
    return Instance("shop", number.to_bytes(16, "big"), b"#" * 32, b"", limits=limits)


def wait_of(rates: Rates, who: Instance, samples: int) -> int:
    with pytest.raises(LimitedError) as refused:
        rates.take(who, samples)
    return refused.value.retry_after_s


def test_a_burst_and_then_the_rate() -> None:
    clock = FakeClock()
    rates = Rates(clock)
    rates.take(instance(), 60)
    rates.take(instance(), 40)
    assert wait_of(rates, instance(), 20) == 2
    clock.advance(1.9)
    assert wait_of(rates, instance(), 20) == 1
    clock.advance(0.2)
    rates.take(instance(), 20)
    clock.advance(1000)  # no more than the burst is saved
    rates.take(instance(), 100)
    assert wait_of(rates, instance(), 1) == 1
    rates.take(instance(), 0)
    rates.take(instance(1), 100)  # each instance has its own


def test_a_request_larger_than_the_burst_passes_a_full_bucket_and_is_paid_later() -> None:
    clock = FakeClock()
    rates = Rates(clock)
    rates.take(instance(), 300)
    assert wait_of(rates, instance(), 100) == 30
    clock.advance(20)
    assert wait_of(rates, instance(), 10) == 1
    clock.advance(1)
    rates.take(instance(), 10)
    assert wait_of(rates, instance(rate=1), 100) == MAX_WAIT_S


def test_a_changed_limit_holds_for_the_next_request() -> None:
    rates = Rates(FakeClock())
    rates.take(instance(), 100)
    larger = instance(burst=1000)
    with pytest.raises(LimitedError, match="max_burst_samples 1000; send slower"):
        rates.take(larger, 1)
    smaller = Rates(FakeClock())
    smaller.take(instance(), 1)
    smaller.take(instance(burst=5), 5)
    assert wait_of(smaller, instance(burst=5), 1) == 1


def test_distributors_share() -> None:
    clock, sharers = FakeClock(), 2
    rates = Rates(clock, sharers=lambda: sharers)
    rates.take(instance(), 50)
    with pytest.raises(LimitedError, match="this distributor, one of 2, gives a share of 5;"):
        rates.take(instance(), 10)
    clock.advance(2)
    rates.take(instance(), 10)
    sharers = 1
    clock.advance(10)
    rates.take(instance(), 100)


def test_memory_is_bounded() -> None:
    rates = Rates(FakeClock())
    first = instance()
    rates.take(first, 100)
    for number in range(1, MAX_INSTANCES + 1):
        rates.take(replace(first, uid=number.to_bytes(16, "big")), 1)
    rates.take(first, 100)  # forgotten, hence full
