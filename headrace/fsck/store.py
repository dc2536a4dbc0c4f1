"""Checks a block store, whatever it lies on."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator

from headrace.fsck.report import DAMAGE, Report
from ingester.canary import is_canary
from shared.errors import UnavailableError
from shared.native import BlockReader
from shared.seams.store import BlockStore, Directory, Manifest

Ends = Callable[[int], Awaitable[tuple[int, int]]]
"""partition -> (first offset that the log holds, first offset that it does not hold).

Asked after the partition's directory was read: a log that is in use may then have gone on, but never lag behind it.
"""


def fixed(first: int, end: int) -> Ends:
    """Of a log that is not in use, and has one sequence of offsets for all partitions."""

    async def of(_: int) -> tuple[int, int]:
        return first, end

    return of


async def check_store(
    store: BlockStore,
    partitions: Iterable[int],
    *,
    known: Collection[bytes] | None,
    ends: Ends | None,
    report: Report,
) -> None:
    """Reads every block. UnavailableError: the store went away meanwhile.

    `known`: uids that exist or were deleted; None: not known, and not checked.

    The store may be in use: of a block that a compaction has replaced meanwhile nothing is said. Without `ends` cursors
    are not compared with the log.
    """
    for partition in partitions:
        try:
            directory = await store.directory(partition)
        except UnavailableError:
            raise
        except DAMAGE as error:
            report.problems.append(f"partition {partition}: {error}")
            continue
        manifests = [manifest for blocks in directory.manifests.values() for manifest in blocks]
        report.facts.append(
            f"partition {partition}: {len(manifests)} blocks, {sum(m.samples for m in manifests)} samples, "
            f"generation {directory.generation}, replay from {directory.replay_from}"
        )
        problems = [*cursor_problems(directory, None if ends is None else await ends(partition))]
        if known is not None:
            strangers = [m for m in manifests if m.uid not in known and not is_canary(m.uid)]
            problems += [f"block {m.root_key}: its instance does not exist" for m in strangers]
        for manifest in manifests:
            found = await _block_problems(store, manifest)
            if found and not await _stands(store, partition, manifest):
                continue
            problems += [f"block {manifest.root_key}: {problem}" for problem in found]
        problems += await _aside(store, partition)
        report.problems += [f"partition {partition}: {problem}" for problem in problems]


def cursor_problems(directory: Directory, ends: tuple[int, int] | None) -> Iterator[str]:
    """What does not fit together among a directory's offsets, and with those of the log if they are known."""
    if ends is not None:
        first, end = ends
        if first > directory.replay_from:
            lost = first - directory.replay_from
            yield (
                f"replay begins at {directory.replay_from}, the log at {first}: {lost} records that may hold what is "
                "not stored are gone"
            )
        contained = max([directory.replay_from, *directory.through.values()])
        if contained > end:
            yield f"the store holds the log up to {contained}, but the log ends at {end}: it was replaced or cut"
    for blocks in directory.manifests.values():
        for manifest in blocks:
            through = _stored_up_to(directory, manifest)
            if not manifest.from_offset < manifest.to_offset <= through:
                yield (
                    f"block {manifest.root_key} covers {manifest.from_offset} to {manifest.to_offset} of window "
                    f"{manifest.window}, which is stored up to {through}"
                )


def _stored_up_to(directory: Directory, manifest: Manifest) -> int:
    """The offset up to which the store contains the windows of a block. A merged block reaches over several."""
    first = max((window for window in directory.through if window <= manifest.min_time), default=manifest.window)
    windows = [window for window in directory.through if first <= window <= manifest.max_time]
    return max((directory.through[window] for window in windows), default=0)


async def _block_problems(store: BlockStore, manifest: Manifest) -> list[str]:
    try:
        root, *pages = await store.fetch(manifest.keys)
        reader = BlockReader.open(root)
        digest = reader.verify(pages)
    except UnavailableError:
        raise
    except DAMAGE as error:
        return [str(error)]
    problems = []
    if tuple(map(len, (root, *pages))) != manifest.lengths:
        problems.append("its values are not as long as the manifest says")
    if digest != manifest.digest:
        problems.append(f"its samples have the digest {digest.hex()}, the manifest says {manifest.digest.hex()}")
    if reader.series != manifest.series:
        problems.append(f"it holds {reader.series} series, the manifest says {manifest.series}")
    return problems


async def _stands(store: BlockStore, partition: int, manifest: Manifest) -> bool:
    blocks = (await store.directory(partition)).manifests.get(manifest.uid, ())
    return any(standing.root_key == manifest.root_key for standing in blocks)


async def _aside(store: BlockStore, partition: int) -> Iterable[str]:
    try:
        kept = await store.aside(partition)
    except UnavailableError:
        raise
    except DAMAGE as error:
        return [str(error)]
    return [f"the record at offset {a.offset} could not be decoded and lies aside: {a.reason}" for a in kept]
