"""How many distributors share the rate of an instance."""

import asyncio

import structlog

from shared.errors import HeadraceError
from shared.redis.crowd import RedisCrowd

EVERY_S = 1.0

log = structlog.get_logger(__name__)


class Sharers:
    """While the store cannot be asked the last number stands."""

    def __init__(self, crowd: RedisCrowd) -> None:
        self._crowd = crowd
        self._number = 1

    @property
    def number(self) -> int:
        return self._number

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                self._number = await self._crowd.announce()
            except HeadraceError as error:
                log.warning("distributors_not_counted", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def leave(self) -> None:
        """The others share what this one had at once, not only when its silence is noticed."""
        try:
            await self._crowd.leave()
        except HeadraceError as error:
            log.warning("distributor_still_counted", error=str(error))
