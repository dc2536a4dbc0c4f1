"""Turning sealed generations into payload and manifests."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from shared.native import BlockParts, Head, crc32c
from shared.seams.store import Generation, Manifest, Payload, payload_keys


@dataclass(frozen=True, slots=True)
class Sealed:
    """A generation of a head that its marker has closed."""

    window: int
    from_offset: int  # what the store contains of the window
    first_offset: int
    to_offset: int


@dataclass(frozen=True, slots=True)
class Encoded:
    generations: tuple[Generation, ...]
    payload: Payload
    first_offset: int  # of the first sample in them

    @property
    def bytes(self) -> int:
        return sum(map(len, self.payload.values))

    @property
    def samples(self) -> int:
        return sum(manifest.samples for generation in self.generations for manifest in generation.manifests)


def encode(head: Head, sealed: Sequence[Sealed], *, batch_bytes: int, only: Collection[bytes] | None = None) -> Encoded:
    """Cuts as many of the generations as fit into about `batch_bytes`, at least one. For a worker thread. `only`: what
    they hold of these instances.
    """
    attempt = new_attempt()
    values: list[bytes] = []
    generations = []
    held_bytes = 0
    for generation in sealed:
        if held_bytes >= batch_bytes:
            break
        manifests = []
        for part in head.cut(generation.window, generation.to_offset):
            if only is not None and part.uid not in only:
                continue
            part_values = [part.root, *part.pages]
            held_bytes += sum(map(len, part_values))
            manifests.append(
                describe(
                    part,
                    part_values,
                    attempt,
                    len(values),
                    generation.window,
                    generation.from_offset,
                    generation.to_offset,
                    level=0,
                )
            )
            values += part_values
        generations.append(
            Generation(generation.window, generation.from_offset, generation.to_offset, tuple(manifests))
        )
    first_offset = min(s.first_offset for s in sealed[: len(generations)])
    return Encoded(tuple(generations), Payload(payload_keys(attempt, len(values)), tuple(values)), first_offset)


def new_attempt() -> str:
    return secrets.token_hex(16)


def describe(
    part: BlockParts,
    values: Sequence[bytes],
    attempt: str,
    first: int,
    window: int,
    from_offset: int,
    to_offset: int,
    *,
    level: int,
) -> Manifest:
    """The manifest of a block whose `values`, root and pages, are those numbered from `first` on in the attempt's
    payload.
    """
    root_key, *page_keys = payload_keys(attempt, first + len(values))[first:]
    return Manifest(
        uid=part.uid,
        window=window,
        from_offset=from_offset,
        to_offset=to_offset,
        level=level,
        min_time=part.min_time,
        max_time=part.max_time,
        series=part.series,
        samples=part.samples,
        digest=part.digest,
        root_key=root_key,
        page_keys=tuple(page_keys),
        lengths=tuple(map(len, values)),
        checksums=tuple(map(crc32c, values)),
    )
