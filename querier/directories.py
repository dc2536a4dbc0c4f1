"""Directories, read again only where the one that is known does not cover an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.seams.ingester_client import Answer
    from shared.seams.store import BlockStore, Directory


class Directories:
    """Remembers the last one read of each partition.

    `look_up` gives the present one where the store is in this process; then nothing is remembered.
    """

    def __init__(self, store: BlockStore, look_up: Callable[[int], Directory | None] | None = None) -> None:
        self._store = store
        self._known: dict[int, Directory] = {}
        self._look_up = look_up or self._known.get

    def known(self, answer: Answer[Any]) -> Directory | None:
        """One that covers the answer, if there is one here."""
        directory = self._look_up(answer.partition)
        return directory if directory is not None and covers(directory, answer) else None

    async def covering(self, answer: Answer[Any]) -> Directory:
        """The store's present one. UnavailableError if it does not cover the answer."""
        directory = await self.fresh(answer.partition, at_least=answer.generation)
        if not covers(directory, answer):
            raise UnavailableError(
                f"partition {answer.partition}: the store has lost what it contained before; its ingesters write it "
                "again",
                retry_after_s=5,
            )
        return directory

    async def fresh(self, partition: int, *, at_least: int = 0) -> Directory:
        """The store's present one."""
        directory = self._known[partition] = await self._store.directory(partition, at_least=at_least)
        return directory


def covers(directory: Directory, answer: Answer[Any]) -> bool:
    """Whether every sample that the head has let go of is in the directory."""
    if directory.generation < answer.generation:
        return False
    through = directory.through
    for window, offset in answer.through.items():  # noqa: SIM110  a generator costs more than most loops here
        if through.get(window, 0) < offset:
            return False
    return True
