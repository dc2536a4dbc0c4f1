"""Blocks made anew from the log, in the place of those whose payload has gone."""

import asyncio
import threading

import structlog

from ingester.encode import Encoded, Sealed, encode
from ingester.settings import IngesterSettings
from shared.errors import UnavailableError
from shared.faults import fault
from shared.native import CanceledError, Head
from shared.seams.log import Log
from shared.seams.store import BlockStore, Generation

log = structlog.get_logger(__name__)


class Restoring:
    def __init__(self, log: Log, store: BlockStore, *, settings: IngesterSettings, alarms: dict[str, str]) -> None:
        self._log = log
        self._store = store
        self._settings = settings
        self._alarms = alarms
        self._stopping = threading.Event()

    def stop(self) -> None:
        """What is under way ends soon, with CanceledError."""
        self._stopping.set()

    async def restore(self, number: int, generation: Generation, first_offset: int) -> Encoded | None:
        """Reads the generation once more, whose first sample lies at `first_offset` or later, and replaces its blocks;
        None if somebody else has replaced them meanwhile. UnavailableError: the log has it no more, or otherwise.
        """
        kind = f"payload/{number}"
        try:
            encoded = await self._made_anew(number, generation, first_offset)
        except UnavailableError as error:
            self._alarms[kind] = str(error)
            raise
        await self._store.put(number, encoded.payload)
        fault("restore.put")
        manifests = [manifest for made in encoded.generations for manifest in made.manifests]
        replaced = await self._store.replace(number, generation.manifests, manifests)
        fault("restore.replaced")
        if not replaced:
            await self._store.delete(number, encoded.payload.keys)
        self._alarms.pop(kind, None)
        return encoded if replaced else None

    async def _made_anew(self, number: int, generation: Generation, first_offset: int) -> Encoded:
        first = (await self._log.first_offsets([number]))[number]
        what = f"partition {number}: payload of window {generation.window} up to offset {generation.to_offset} is gone"
        if first > first_offset:
            raise UnavailableError(f"{what}, and the log begins at {first}, behind {first_offset}: restore the store")
        head = await asyncio.to_thread(self._replayed, number, generation, first_offset)
        held = [info for info in head.windows() if info.sealed == generation.to_offset]
        wanted = {manifest.uid: manifest.digest for manifest in generation.manifests}
        sealed = [
            Sealed(generation.window, generation.from_offset, info.first_offset, generation.to_offset) for info in held
        ]
        encoded = (
            await asyncio.to_thread(encode, head, sealed, batch_bytes=self._settings.batch_bytes, only=wanted.keys())
            if sealed
            else None
        )
        made = {m.uid: m.digest for g in encoded.generations for m in g.manifests} if encoded else {}
        if encoded is None or made != wanted:
            raise UnavailableError(f"{what}, and the log has other samples of it: restore the store")
        return encoded

    def _replayed(self, number: int, generation: Generation, begin: int) -> Head:
        """Blocks; a head that holds nothing but the generation."""
        head = Head(number, window_ms=self._settings.window_ms, only=generation.window)
        head.set_through({generation.window: generation.from_offset})
        reader = self._log.reader()
        try:
            reader.assign({number: begin})
            position = begin
            while position <= generation.to_offset:
                if self._stopping.is_set():
                    raise CanceledError("the ingester stops")
                for fetched in reader.read(
                    max_records=self._settings.read_records, timeout_ms=self._settings.read_timeout_ms
                ):
                    if fetched.stopped is not None:
                        raise UnavailableError(f"partition {number} cannot be read: {fetched.stopped}")
                    if records := [record for record in fetched.records if record.offset <= generation.to_offset]:
                        Head.apply({number: head}, records)
                    position = fetched.end
        finally:
            reader.close()
        return head
