"""Blocks through the door: cut by heads, checked, merged. Formats and codecs are tested beside their code."""

import pytest

from shared.native import BadDataError, BlockParts, BlockReader, CorruptError, UnsupportedError, merge_blocks
from tests.unit.head.world import OTHER, UID, World

SAMPLES = [(1_000 * second, second * 0.1) for second in range(1, 500)]


def cut(series: int, samples: list[tuple[int, float]]) -> list[BlockParts]:
    """The blocks of one window, of all partitions."""
    world = World()
    world.write([({"__name__": "requests_total", "pod": f"pod-{number}"}, samples) for number in range(series)])
    sealed = [(world.heads[partition], marker) for partition, marker in world.seal(0).items()]
    return [parts for head, marker in sealed if head.windows() for parts in head.cut(0, marker)]


def test_a_block_says_what_it_holds() -> None:
    blocks = cut(40, SAMPLES)
    assert sum(parts.series for parts in blocks) == 40
    assert sum(parts.samples for parts in blocks) == 40 * len(SAMPLES)
    for parts in blocks:
        assert (parts.uid, parts.min_time, parts.max_time) == (UID, 1_000, 499_000)
        reader = BlockReader.open(parts.root)
        assert (reader.series, reader.pages) == (parts.series, len(parts.pages))
        assert reader.memory_bytes > 0
        assert reader.verify(parts.pages) == parts.digest


def test_two_halves_merge_to_the_whole() -> None:
    whole = cut(40, SAMPLES)
    halves = zip(cut(40, SAMPLES[:300]), cut(40, SAMPLES[200:]), strict=True)
    for parts, pair in zip(whole, halves, strict=True):
        merged = merge_blocks([(BlockReader.open(half.root), half.pages) for half in pair], UID)
        assert (merged.digest, merged.samples, merged.root) == (parts.digest, parts.samples, parts.root)


def test_damage_is_found() -> None:
    parts = cut(1, SAMPLES)[0]
    reader = BlockReader.open(parts.root)
    for place in (0, 4, 20, len(parts.root) - 1):
        root = bytearray(parts.root)
        root[place] ^= 1
        with pytest.raises(CorruptError, match="root"):
            BlockReader.open(bytes(root))
    with pytest.raises(UnsupportedError, match="format 9, this build reads 3"):
        BlockReader.open(parts.root[:3] + b"\x09" + parts.root[4:])
    with pytest.raises(CorruptError, match="1 pages of the 0 of a block"):
        reader.verify([b"page"])
    with pytest.raises(BadDataError, match="instance"):
        merge_blocks([(reader, parts.pages)], OTHER)


def test_nothing_merges_to_an_empty_block() -> None:
    parts = merge_blocks([], UID)
    assert (parts.series, parts.samples, parts.min_time, parts.max_time) == (0, 0, 0, -1)
    assert BlockReader.open(parts.root).verify(parts.pages) == parts.digest == bytes(16)
