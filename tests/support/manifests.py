"""Manifests and payload with bytes that mean nothing, for tests of stores."""

from dataclasses import replace

from shared.native import crc32c
from shared.seams.store import Directory, Generation, Manifest, Payload, payload_keys

UID = bytes(range(16))
WINDOW = 7_200_000


def block(
    attempt: str,
    window: int,
    from_offset: int,
    to_offset: int,
    *,
    uid: bytes = UID,
    values: tuple[bytes, ...] = (b"root", b"page"),
) -> tuple[Manifest, Payload]:
    """One block that is all of its attempt's payload."""
    keys = payload_keys(attempt, len(values))
    manifest = Manifest(
        uid=uid,
        window=window,
        from_offset=from_offset,
        to_offset=to_offset,
        level=0,
        min_time=window,
        max_time=window + WINDOW - 1,
        series=3,
        samples=to_offset - from_offset,
        digest=bytes(16),
        root_key=keys[0],
        page_keys=keys[1:],
        lengths=tuple(map(len, values)),
        checksums=tuple(map(crc32c, values)),
    )
    return manifest, Payload(keys, values)


def generation(*manifests: Manifest) -> Generation:
    """The generation whose blocks these are."""
    first = manifests[0]
    return Generation(first.window, first.from_offset, first.to_offset, manifests)


def merged(attempt: str, old: list[Manifest]) -> tuple[Manifest, Payload]:
    """What a compaction would put in the place of `old`."""
    manifest, payload = block(attempt, old[0].window, old[0].from_offset, old[-1].to_offset, uid=old[0].uid)
    return replace(manifest, level=1), payload


def holds_the_same(directory: Directory, other: Directory) -> bool:
    """Whether they differ in the generation's number at most."""
    return replace(directory, generation=0) == replace(other, generation=0)
