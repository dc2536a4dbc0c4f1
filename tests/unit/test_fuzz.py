"""Every decoder of what comes from outside, or lies where it may have been damaged: whatever it is given, it reads it
or says what is wrong, and never ends in anything else.

HEADRACE_FUZZ_SECONDS gives each decoder so much time instead of a few examples.
"""

import os
import random
import struct
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import cramjam
import pytest
import snappy
from hypothesis import HealthCheck, Phase, given, seed, settings

from distributor.encoding import decoded
from distributor.grouping import grouping_of
from shared.errors import HeadraceError
from shared.local import records as local_records
from shared.native import (
    BadDataError,
    BlockParts,
    BlockReader,
    CorruptError,
    ExecutionError,
    Fold,
    Head,
    HeadSearch,
    Import,
    IncomingPart,
    Matcher,
    NamesSearch,
    Outbox,
    Push,
    PushBook,
    Query,
    RecordDecoder,
    Splitter,
    UnsupportedError,
    WriteLimits,
    crc32c,
    expose_pushed,
    json_exemplars,
    merge_blocks,
)
from shared.redis import records as redis_records
from shared.seams.store import Manifest
from tests.support import client_model
from tests.support import remote_write_v2 as v2
from tests.support.client_model import delimited, family
from tests.support.mutation import mutated
from tests.support.remote_write import write_request
from tests.unit.head.world import UID, World

REFUSALS = (BadDataError, CorruptError, UnsupportedError, ExecutionError, HeadraceError)

EXAMPLES = 40
SECONDS = float(os.environ.get("HEADRACE_FUZZ_SECONDS", "0"))

NOW_MS = 1_700_000_000_000
END = 1 << 60
LIMIT = 1 << 16

SPLITTER = Splitter(secret=b"secret of the tests", partitions=1)
LIMITS = WriteLimits(max_body_bytes=LIMIT, max_decoded_bytes=LIMIT)

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Decoder:
    seeds: Sequence[bytes]
    read: Read


def split(body: bytes, version: int) -> None:
    """What was accepted is accepted again; what was refused in part is written anew, as version 1."""
    batch = SPLITTER.split(body, uid=UID, shards=1, limits=LIMITS, now_ms=NOW_MS, version=version)
    again = SPLITTER.split(
        batch.body,
        uid=UID,
        shards=1,
        limits=WriteLimits(),
        now_ms=NOW_MS,
        version=1 if batch.refused else version,
    )
    assert (again.samples, again.histograms, again.exemplars) == (batch.samples, batch.histograms, batch.exemplars)
    assert again.refused == []


def finished(coroutine: Coroutine[Any, Any, bytes]) -> bytes:
    """Of one that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return bytes(end.value)
    coroutine.close()
    raise AssertionError("it waits")


# ---- what senders send --------------------------------------------------------------------------------------------

NATIVE = {
    "sample_count": 9,
    "sample_sum": 12.5,
    "zero_threshold": 0.001,
    "zero_count": 2,
    "positive_span": [{"offset": 1, "length": 2}],
    "positive_delta": [3, 1],
    "negative_span": [{"offset": 0, "length": 0}],
}

VERSION_1 = [
    write_request(
        [
            ({"__name__": "up", "job": "a", "é": "ü"}, [(NOW_MS, 1.0), (NOW_MS - 5, -0.0)]),
            ({"__name__": "x"}, [(1, 2.0)]),
        ],
        [(1, "up", "Whether.", "s")],
    ),
    write_request([({"a": "b"}, [(NOW_MS, float("nan"))])]),
]

VERSION_2 = [
    v2.message(
        [
            v2.Series(
                {"__name__": "rw", "job": "a"},
                [(NOW_MS, 1.0)],
                (v2.COUNTER, "Help.", "s"),
                [v2.Exemplar({"trace_id": "x"}, 0.5, NOW_MS)],
                start_ms=NOW_MS - 1000,
            ),
            v2.Series(
                {"__name__": "h"},
                histograms=[
                    {
                        "count_int": 4,
                        "sum": 2.5,
                        "zero_count_int": 1,
                        "positive_spans": [v2.MESSAGES["BucketSpan"](offset=1, length=2)],
                        "positive_deltas": [1, 1],
                        "timestamp": NOW_MS,
                    }
                ],
            ),
        ]
    ).SerializeToString()
]

PUSHED = delimited(
    [
        family(
            "c",
            client_model.COUNTER,
            {
                "counter": {
                    "value": 7,
                    "exemplar": {"label": [{"name": "id", "value": "x"}], "value": 1, "timestamp": {"seconds": 3}},
                },
                "label": [{"name": "a", "value": "ä"}],
            },
            text="Help.",
        ),
        family(
            "s", client_model.SUMMARY, {"summary": {"sample_count": 2, "quantile": [{"quantile": 0.5, "value": 3}]}}
        ),
        family(
            "h",
            client_model.HISTOGRAM,
            {"histogram": {**NATIVE, "bucket": [{"upper_bound": 2, "cumulative_count": 5}]}},
        ),
        family(
            "f",
            client_model.GAUGE_HISTOGRAM,
            {
                "histogram": {
                    "sample_count_float": 2.5,
                    "negative_span": [{"offset": 0, "length": 1}],
                    "negative_count": [2.5],
                }
            },
        ),
    ]
)

TEXT = (
    b'# HELP h Help \\n and \\\\.\n# TYPE h histogram\nh_bucket{a="b",le="1"} 2\n'
    b'h_bucket{le="+Inf"} 3\nh_sum 1\nh_count 3\n'
    b'# TYPE s summary\ns{quantile="0.5"} 1\ns_sum 2\ns_count 3\n# a comment\nx{a="\\"\\\\\\n"} -1.5e3\n'
    b'{"u.x","b c"="d"} NaN 5\n'
)

OPEN_METRICS = (
    b'# TYPE c counter\n# UNIT c_seconds seconds\n# HELP c Help.\nc_total{a="b"} 1 1.5 # {id="x"} 0.5 1.25\n'
    b"c_created 2\n"
    b'# TYPE h histogram\nh_bucket{le="1.0"} 2 # {} 1\nh_bucket{le="+Inf"} 2\nh_count 2\nh_sum 1\n# EOF\n'
)


def pushed(form: str) -> Read:
    def read(body: bytes) -> None:
        push, why = Push.of_body(body, form, [("job", "a")], merge=False, now_ms=NOW_MS, ttl_ms=0, interval_ms=15_000)
        assert (push is None) == (why is not None)
        if push is not None:
            SPLITTER.split_push(push, uid=UID, shards=1, limits=LIMITS, now_ms=NOW_MS)

    return read


def imported(*, open_metrics: bool) -> Read:
    def read(body: bytes) -> None:
        reading = Import(body, open_metrics=open_metrics, now_ms=NOW_MS)
        while (piece := reading.next_piece(64)) is not None:
            SPLITTER.split_plain(piece, uid=UID, shards=1, limits=LIMITS, now_ms=NOW_MS)
        assert len(reading.bad) <= reading.bad_lines

    return read


def packed(encoding: str) -> Read:
    return lambda body: finished(decoded(body, encoding, LIMIT))


SENT = {
    "remote-write-1": Decoder(VERSION_1, lambda plain: split(bytes(snappy.compress(plain)), 1)),
    "remote-write-2": Decoder(VERSION_2, lambda plain: split(bytes(snappy.compress(plain)), 2)),
    "snappy": Decoder([bytes(snappy.compress(plain * 9)) for plain in VERSION_1], lambda body: split(body, 1)),
    "snappy-framed": Decoder([bytes(cramjam.snappy.compress(TEXT * 9))], packed("snappy")),
    "zstd": Decoder([bytes(cramjam.zstd.compress(TEXT * 9))], packed("zstd")),
    "gzip": Decoder([bytes(cramjam.gzip.compress(TEXT * 9))], packed("gzip")),
    "push-text": Decoder([TEXT.partition(b'{"u.x"')[0], TEXT], pushed("text")),
    "push-openmetrics": Decoder([OPEN_METRICS.replace(b" 1.5 #", b" #"), OPEN_METRICS], pushed("openmetrics")),
    "push-protobuf": Decoder([PUSHED], pushed("protobuf")),
    "push-path": Decoder(
        [b"/a/instance/x", b"@base64/YQ==/b@base64/=/c/%C3%A9", b"/a/x@base64/_-8"],
        lambda path: grouping_of(b"/metrics/job" + (path if path.startswith((b"/", b"@base64/")) else b"/" + path)),
    ),
    "import-text": Decoder([TEXT], imported(open_metrics=False)),
    "import-openmetrics": Decoder([OPEN_METRICS], imported(open_metrics=True)),
}


# ---- what lies in the log -----------------------------------------------------------------------------------------

_RECORD_HEAD = struct.Struct("<4sBBBBHHIq")


def record_of(kind: int, payload: bytes, *, version: int = 2) -> bytes:
    """With the right checksum, so that what it holds is read."""
    head = _RECORD_HEAD.pack(b"HRRC", version, kind, 0, 0, 0, 0, len(payload), NOW_MS)
    return head + struct.pack("<I", crc32c(head + payload)) + payload


def logged() -> list[bytes]:
    """Records of remote write and of pushes."""
    outbox = Outbox(
        queue_bytes=1 << 24, linger_ms=0, max_linger_ms=1, rest_ms=0, records_per_second=1000, deadline_ms=60_000
    )
    try:
        for plain in VERSION_1[:1]:
            batch = SPLITTER.split(
                bytes(snappy.compress(plain)), uid=UID, shards=1, limits=LIMITS, now_ms=NOW_MS, version=1
            )
            outbox.add(batch, now_ms=NOW_MS)
        push, _ = Push.of_body(
            PUSHED, "protobuf", [("job", "a")], merge=True, now_ms=NOW_MS, ttl_ms=5000, interval_ms=15_000
        )
        assert push is not None
        for change in (push, Push.fail([("job", "b")], now_ms=NOW_MS, interval_ms=15_000), Push.wipe(now_ms=NOW_MS)):
            outbox.add(SPLITTER.split_push(change, uid=UID, shards=1, limits=LIMITS, now_ms=NOW_MS), now_ms=NOW_MS)
        outbox.add_seal(0, [0, 7_200_000])
        outbox.close()
        values: list[bytes] = []
        while (taken := outbox.take(timeout_ms=1000)) is not None:
            for number, _, value in taken:
                values.append(value)
                outbox.acked(number, number)
        return values
    finally:
        outbox.close()


def apply_record(value: bytes) -> None:
    record = RecordDecoder(SPLITTER).decode(0, 5, value)
    assert record.held_bytes >= 0
    head = Head(0, window_ms=7_200_000)
    Head.apply({0: head}, [record])
    book = PushBook(0, SPLITTER)
    PushBook.apply({0: book}, [record], 6)
    examine(book)


def examine(book: PushBook) -> None:
    """All that is asked of pushed groups."""
    expose_pushed([book.families(UID, NOW_MS)], as_text=True)
    book.json(UID, NOW_MS)
    book.due(NOW_MS + 60_000, {UID: 1}, 1000)
    book.changes()
    assert book.lag_ms(NOW_MS) is not None


def plain_payload(value: bytes) -> tuple[int, bytes]:
    payload = value[28:]
    return value[5], bytes(cramjam.zstd.decompress(payload)) if value[6] else payload


LOGGED = logged()
PAYLOADS = [plain_payload(value) for value in LOGGED]
FIRST_FORMAT = [UID + struct.pack("<HI", 1, len(plain)) + plain for plain in VERSION_1[:1]]


def stored_groups() -> list[bytes]:
    """Their messages, not compressed."""
    book = PushBook(0, SPLITTER)
    for offset, value in enumerate(LOGGED):
        record = RecordDecoder(SPLITTER).decode(0, offset, value)
        if record.kind == "write" and not any(batch.samples == 0 for batch in record.batches):
            PushBook.apply({0: book}, [record], offset + 1)
    _, entries = book.everything()
    return [bytes(cramjam.zstd.decompress(value[1:])) for _, value in entries]


def restore_group(plain: bytes) -> None:
    value = b"\x01" + bytes(cramjam.zstd.compress(plain))
    for key in (UID, UID + b"job\xffa\xff"):
        examine(PushBook.restore(0, SPLITTER, 9, [(key, value)]))


# ---- what lies in the store, and what goes between processes ------------------------------------------------------


def blocks(series: int) -> list[BlockParts]:
    """Few are one value, many have pages of their own."""
    world = World()
    values = random.Random(1)
    world.write(
        [({"__name__": "up", "job": f"j{n}"}, [(t * 1000, values.random()) for t in range(300)]) for n in range(series)]
    )
    markers = world.seal(0)
    sealed = [(world.heads[partition], marker) for partition, marker in markers.items()]
    return [parts for head, marker in sealed if head.windows() for parts in head.cut(0, marker)]


SMALL, LARGE = blocks(3), blocks(100)


def read_root(after_checksum: bytes) -> None:
    """With the right checksum."""
    root = LARGE[0].root[:4] + struct.pack("<I", crc32c(after_checksum)) + after_checksum
    reader = BlockReader.open(root)
    for pages in ([], LARGE[0].pages):
        if reader.pages == len(pages):
            reader.verify(pages)
            merge_blocks([(reader, pages)], UID)


def read_page(page: bytes) -> None:
    BlockReader.open(LARGE[0].root).verify([page, *LARGE[0].pages[1:]])


def head() -> World:
    world = World()
    world.write(
        [({"__name__": "up", "job": f"j{n}"}, [(NOW_MS + t * 1000, t + n / 8) for t in range(50)]) for n in range(9)]
    )
    return world


MATCHERS = [Matcher("__name__", "=", "up")]


def parts() -> list[bytes]:
    """Of a selection, of one that is folded, and of names."""
    heads = list(head().heads.values())
    fold = Fold(
        Query(), (NOW_MS, 1000, 3), None, range_ms=300_000, offset_ms=0, op="sum", without=False, labels=["job"]
    )
    found = [
        *HeadSearch(Query(), UID, MATCHERS, 0, END).parts(heads),
        *HeadSearch(Query(), UID, MATCHERS, 0, END, fold).parts(heads),
        *NamesSearch(Query(), UID, [MATCHERS], 0, END).parts(heads),
    ]
    encoded = [part.encode() for part in found if part is not None]
    return [part.frame(0, len(part)) for part in encoded]


def receive(after_checksum: bytes) -> None:
    data = PARTS[0][:4] + struct.pack("<I", crc32c(after_checksum)) + after_checksum
    for kind in ("head_part", "folded_part", "names_part"):
        incoming = IncomingPart(Query(max_bytes=1 << 24), len(data))
        incoming.add(data)
        try:
            getattr(incoming, kind)()
        except REFUSALS:
            continue


PARTS = parts()


def exemplar_snapshots() -> list[bytes]:
    found = Head(0, window_ms=7_200_000)
    for value in LOGGED:
        Head.apply({0: found}, [RecordDecoder(SPLITTER).decode(0, 1, value)])
    snapshot = found.exemplar_snapshot(UID)
    assert snapshot
    return [snapshot, found.exemplars(UID, [[Matcher("__name__", "=~", ".+")]], 0, END)]


def restore_exemplars(snapshot: bytes) -> None:
    found = Head(0, window_ms=7_200_000)
    found.restore_exemplars(UID, snapshot)
    json_exemplars([found.exemplars(UID, [], 0, END)])
    assert found.exemplar_version(UID) >= 0


MANIFEST = Manifest(
    uid=UID,
    window=0,
    from_offset=0,
    to_offset=9,
    level=0,
    min_time=0,
    max_time=5,
    series=1,
    samples=2,
    digest=bytes(16),
    root_key="ab/0",
    page_keys=("ab/1",),
    lengths=(3, 4),
    checksums=(5, 6),
)
SPANS = {key: local_records.Span(0, 3, 5) for key in MANIFEST.keys}

METADATA = {"up": (1, "Whether.", "s")}

KEPT = {
    "record": Decoder(LOGGED, apply_record),
    "record-payload": Decoder(
        [payload for kind, payload in PAYLOADS if kind == 1], lambda payload: apply_record(record_of(1, payload))
    ),
    "record-first-format": Decoder(FIRST_FORMAT, lambda payload: apply_record(record_of(1, payload, version=1))),
    "record-seal": Decoder(
        [payload for kind, payload in PAYLOADS if kind == 2], lambda payload: apply_record(record_of(2, payload))
    ),
    "stored-groups": Decoder(stored_groups(), restore_group),
    "exposed-families": Decoder([PUSHED], lambda body: expose_pushed([body, PUSHED], as_text=True)),
    "block-root": Decoder([parts.root[8:] for parts in (LARGE[0], *SMALL)], read_root),
    "block-page": Decoder(LARGE[0].pages, read_page),
    "parts-of-heads": Decoder([part[8:] for part in PARTS], receive),
    "exemplar-snapshot": Decoder(exemplar_snapshots()[:1], restore_exemplars),
    "exemplars-of-heads": Decoder(exemplar_snapshots()[1:], lambda part: json_exemplars([part])),
    "local-manifests": Decoder(
        [local_records.encode_manifests([MANIFEST], SPANS)], lambda value: local_records.decode_manifests("key", value)
    ),
    "local-cursor": Decoder(
        [local_records.encode_cursor(1, 2, {0: 3})], lambda value: local_records.decode_cursor("key", value)
    ),
    "local-metadata": Decoder(
        [local_records.encode_metadata(METADATA)], lambda value: local_records.decode_metadata("key", value)
    ),
    "redis-manifests": Decoder(
        [redis_records.encode_blocks([MANIFEST])], lambda value: redis_records.decode_blocks("key", UID, value)
    ),
    "redis-metadata": Decoder(
        [redis_records.encode_metadata(METADATA)], lambda value: redis_records.decode_metadata("key", value)
    ),
    "redis-payload": Decoder(
        [redis_records.seal_value(b"value")], lambda value: redis_records.open_value("key", value)
    ),
}

DECODERS = SENT | KEPT


@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.parametrize("name", DECODERS)
def test_whatever_comes_is_read_or_refused(name: str) -> None:
    decoder = DECODERS[name]
    for number, good in enumerate(decoder.seeds):
        refusal = refused(decoder, good)
        assert number > 0 or refusal is None, "the first seed is good"
    end = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        look(decoder, rounds, EXAMPLES if SECONDS == 0 else 1000)
        rounds += 1


def refused(decoder: Decoder, data: bytes) -> str | None:
    try:
        decoder.read(data)
    except REFUSALS as error:
        return str(error)
    return None


def look(decoder: Decoder, start: int, examples: int) -> None:
    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(mutated(decoder.seeds))
    def one(data: bytes) -> None:
        assert refused(decoder, data) != "", "a refusal says why"

    one()


FOUND = [
    ("local-metadata", b'\x01{"up":5}'),
    ("local-metadata", b'\x01{"up":[5]}'),
    ("local-metadata", b"\x01[]"),
]
"""What failed once, or lay beside it: decoder and input."""


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_failed_once_is_read_or_refused(name: str, data: bytes) -> None:
    assert refused(DECODERS[name], data) != "", "a refusal says why"
