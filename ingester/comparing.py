"""Whether what another zone has stored is what this zone holds."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from ingester.settings import IngesterSettings
from shared.clock import Clock
from shared.native import Head
from shared.seams.registry import Registry
from shared.seams.store import Directory, Generation, Manifest

_SLACK_MS = 3600 * 1000
"""Blocks that are so close to the end of their retention may be gone by another process's clock."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What this zone holds of one instance in a generation."""

    uid: bytes
    samples: int
    digest: bytes
    max_time: int


class Comparison:
    def __init__(self, registry: Registry, *, clock: Clock, settings: IngesterSettings) -> None:
        self._registry = registry
        self._clock = clock
        self._settings = settings

    async def differing(self, head: Head, directory: Directory, stored: Generation) -> list[bytes]:
        """The uids of which the stored generation has other samples than this head, and should not have."""
        own = [Summary(*found) for found in await asyncio.to_thread(head.summary, stored.window, stored.to_offset)]
        uids = unlike(own, stored)
        if not uids:
            return []
        # What stands may have changed since the commit, and what is held may be of an instance that is gone.
        deleted = await self._registry.deleted_uids()
        retention = {i.uid: i.limits.retention_s for i in await self._registry.instances()}
        mine = {summary.uid: summary for summary in own}
        return [
            uid
            for uid in uids
            if uid not in deleted
            and uid in retention
            and not _is_merged(directory.manifests.get(uid, ()), stored)
            and not (uid in mine and self._is_expired(mine[uid], retention[uid]))
        ]

    def _is_expired(self, summary: Summary, retention_s: int | None) -> bool:
        retention_ms = self._settings.retention_ms if retention_s is None else retention_s * 1000
        return summary.max_time < self._clock.now_ms() - retention_ms + _SLACK_MS


def unlike(own: Iterable[Summary], stored: Generation) -> list[bytes]:
    """The uids of which both sides have not the same samples."""
    mine = {summary.uid: (summary.samples, summary.digest) for summary in own}
    theirs = {manifest.uid: (manifest.samples, manifest.digest) for manifest in stored.manifests}
    return sorted(uid for uid in mine.keys() | theirs.keys() if mine.get(uid) != theirs.get(uid))


def _is_merged(manifests: Iterable[Manifest], stored: Generation) -> bool:
    """Whether a merged block may have taken in the instance's part of the generation."""
    return any(m.level > 0 and m.from_offset < stored.to_offset <= m.to_offset for m in manifests)
