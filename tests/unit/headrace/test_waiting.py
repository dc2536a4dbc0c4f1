"""Waiting for what others have to start first."""

import pytest

from headrace.readiness import Readiness
from headrace.waiting import Waiting
from shared.errors import InternalError, UnavailableError


async def test_it_tries_until_it_is_there_and_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.waiting.FIRST_PAUSE_S", 0.001)
    readiness = Readiness()
    seen: list[str | None] = []

    async def attempt() -> str:
        seen.append(readiness.missing)
        if len(seen) < 3:
            raise UnavailableError(f"refused {len(seen)}")
        return "there"

    assert await Waiting(readiness).until("Kafka", attempt) == "there"
    assert seen == ["waiting for Kafka", "waiting for Kafka: refused 1", "waiting for Kafka: refused 2"]


async def test_what_waiting_does_not_mend_is_raised() -> None:
    async def attempt() -> None:
        raise InternalError("the topic has 3 partitions")

    with pytest.raises(InternalError, match="3 partitions"):
        await Waiting(Readiness()).until("Kafka", attempt)
