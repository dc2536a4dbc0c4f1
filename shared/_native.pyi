"""The native core. Times are int milliseconds since the epoch; uids are 16 bytes; offsets are log sequence numbers."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, final

__all__ = [
    "BadDataError",
    "BlockParts",
    "BlockReader",
    "CanceledError",
    "CorruptError",
    "ExecutionError",
    "Files",
    "Fold",
    "FoldedPart",
    "FolderLock",
    "Frame",
    "Head",
    "HeadPart",
    "HeadSearch",
    "Histogram",
    "Import",
    "IncomingPart",
    "Journal",
    "KnownSeries",
    "LoadCheck",
    "LoadModel",
    "LocalLog",
    "LocalLogReader",
    "LogRecord",
    "Matcher",
    "Names",
    "NamesPart",
    "NamesSearch",
    "Outbox",
    "OutgoingPart",
    "Packs",
    "Push",
    "PushBook",
    "Query",
    "RecordDecoder",
    "Selection",
    "SeriesSet",
    "SplitBatch",
    "Splitter",
    "TooLargeError",
    "UnsupportedError",
    "WindowInfo",
    "WriteLimits",
    "absent",
    "aggregate",
    "aggregate_instant",
    "aggregate_range",
    "apply_function",
    "as_series",
    "binary",
    "binary_scalar",
    "binary_scalars",
    "broadcast",
    "crc32c",
    "decompress",
    "drop_names",
    "elements",
    "expose_pushed",
    "finish_names",
    "format_float",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_statistics",
    "info",
    "json_exemplars",
    "json_matrix",
    "json_pinned_samples",
    "json_samples",
    "json_scalar",
    "json_string",
    "json_vector",
    "label_join",
    "label_replace",
    "merge_blocks",
    "number",
    "select_extended",
    "select_instant",
    "select_range",
    "select_smoothed",
    "series_from_samples",
    "set_operator",
    "sort",
    "sort_by_label",
    "time_of",
    "to_scalar",
    "to_vector",
]

# ---- errors -------------------------------------------------------------------------------------------------------

class BadDataError(Exception):
    """The bytes or parameters are wrong and will stay wrong (HTTP 400)."""

class TooLargeError(BadDataError):
    """Larger than a limit allows (HTTP 413)."""

class ExecutionError(Exception):
    """A query that cannot be evaluated (HTTP 422)."""

class CanceledError(Exception):
    """The query was cancelled or ran out of time (HTTP 503)."""

class CorruptError(Exception):
    """Stored bytes do not match their checksum or description."""

class UnsupportedError(Exception):
    """Something newer than this build understands."""

# ---- wire: bodies in, batches out ---------------------------------------------------------------------------------

@final
class WriteLimits:
    """What one instance may send. Ages are relative to `now_ms`; None means any age."""

    def __new__(
        cls,
        *,
        max_body_bytes: int = ...,
        max_decoded_bytes: int = ...,
        max_labels: int = ...,
        max_name_bytes: int = ...,
        max_value_bytes: int = ...,
        max_age_ms: int | None = ...,
        max_future_ms: int | None = ...,
    ) -> WriteLimits: ...

@final
class SplitBatch:
    """The accepted part of one request: its body for the log and its decoded columns for the heads."""

    @property
    def samples(self) -> int:
        """Of both kinds."""
    @property
    def histograms(self) -> int:
        """Samples that are native histograms."""
    @property
    def series(self) -> int: ...
    @property
    def metadata(self) -> int: ...
    @property
    def pushes(self) -> int:
        """Operations on pushed groups."""
    @property
    def exemplars(self) -> int: ...
    @property
    def partitions(self) -> list[int]:
        """Those that hold something of it, ascending."""
    @property
    def refused(self) -> list[tuple[str, int, str]]:
        """(reason, samples refused, a one-line message with an example series) for each reason met.

        Reasons: missing_name, empty_label_name, invalid_utf8, duplicate_label, too_many_labels, label_name_too_long,
        label_value_too_long, too_old, too_far_in_future, invalid_histogram, series_limit, metric_series_limit, invalid_symbols, and
        invalid_metadata, invalid_exemplar and empty_series, which count entries, exemplars and series.
        """
    def metrics(self, keys: bytes) -> list[str]:
        """The metric names of the series of these keys, each once; see `KnownSeries`."""
    def admit(
        self,
        new: bytes,
        *,
        active: int,
        by_metric: Mapping[str, int],
        max_series: int,
        max_series_per_metric: int,
    ) -> tuple[SplitBatch, bytes]:
        """The batch without those of the new series, given by their keys, that there is no room for, refused as `series_limit` or
        `metric_series_limit`; and the keys of the other new ones. `active` and `by_metric`: how many series the instance has, in all
        and of a metric; 0 of metrics that are missing."""
    @property
    def body(self) -> bytes:
        """The sender's own bytes if all was accepted, else a remote-write 1.0 body in snappy that holds what was."""

@final
class Splitter:
    """Splits remote-write bodies by series hash. Safe to share between threads."""

    def __new__(cls, *, secret: bytes, partitions: int, cache_bytes: int = ...) -> Splitter:
        """`secret` keys every hash and stays the same for as long as the log is kept. `cache_bytes` bounds what is
        remembered of valid label bytes, at 16 bytes a series; memory is taken as it fills."""
    def split(
        self, body: bytes, *, uid: bytes, shards: int, limits: WriteLimits, now_ms: int, version: int = 1
    ) -> SplitBatch:
        """Decode, validate, split. `version` 1: the body is a `prometheus.WriteRequest`; 2: an
        `io.prometheus.write.v2.Request`. Raises TooLargeError or BadDataError if nothing of the body can be used at all."""
    def split_plain(self, plain: bytes, *, uid: bytes, shards: int, limits: WriteLimits, now_ms: int) -> SplitBatch:
        """As `split`, of a request in another form that was written as a remote-write message, not compressed."""
    def split_push(self, push: Push, *, uid: bytes, shards: int, limits: WriteLimits, now_ms: int) -> SplitBatch:
        """The samples of a push, and its operation on the group; without that if anything but exemplars is refused, and then the batch
        must not be written."""
    def partitions_of(self, uid: bytes, shards: int) -> list[int]:
        """The partitions an instance uses: `shards` (a power of two) consecutive ones, from the hash of its uid."""

@final
class KnownSeries:
    """Series of one instance that its heads are known to hold, at most `capacity`. Series go by their label key, 16 bytes each; the same
    label set in another encoding has another key."""

    def __new__(cls, capacity: int) -> KnownSeries: ...
    def unknown(self, batch: SplitBatch) -> dict[int, bytes]:
        """partition -> keys of the batch that are not known, each once. Who is asked for stays known."""
    def learn(self, keys: bytes) -> None: ...
    def learn_held(self, keys: bytes, held: bytes) -> bytes:
        """Learns the keys whose byte in `held` is not 0, or missing, and returns the others."""
    def age(self) -> None:
        """Called now and then: what nobody asked for between two calls is forgotten."""
    def __len__(self) -> int: ...

# ---- exposition formats --------------------------------------------------------------------------------------------

@final
class Import:
    """An exposition in text with timestamps, read piece by piece. Samples without one are at `now_ms`."""

    def __new__(cls, body: bytes, *, open_metrics: bool, now_ms: int) -> Import: ...
    def next_piece(self, max_bytes: int) -> bytes | None:
        """A remote-write message for `Splitter.split_plain`, of `max_bytes` and what one line more makes of it; None at the end. Lines that
        make no sense are left out."""
    @property
    def bad(self) -> list[tuple[int, str]]:
        """(line, why) of the first lines that were left out."""
    @property
    def bad_lines(self) -> int:
        """How many were left out."""

def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """Of `snappy` (the stream format) or `zstd`. TooLargeError above `limit` bytes, BadDataError for what is none."""

# ---- pushed groups -------------------------------------------------------------------------------------------------

@final
class Push:
    """A change of a pushed group, checked and ready to be split. `group`: (name, value) of the grouping labels, in any order."""

    @staticmethod
    def of_body(
        body: bytes,
        form: str,
        group: Sequence[tuple[str, str]],
        *,
        merge: bool,
        now_ms: int,
        ttl_ms: int,
        interval_ms: int,
    ) -> tuple[Push | None, str | None]:
        """The push, or why it is inconsistent. BadDataError, worded as by the Pushgateway, for a body that is not in `form`: `text`,
        `openmetrics` or `protobuf`. `merge`: only families of the pushed names are replaced. `ttl_ms` 0: the group stays."""
    @staticmethod
    def delete(group: Sequence[tuple[str, str]], *, now_ms: int) -> Push: ...
    @staticmethod
    def fail(group: Sequence[tuple[str, str]], *, now_ms: int, interval_ms: int) -> Push:
        """Only the stamp of a push that failed."""
    @staticmethod
    def wipe(*, now_ms: int) -> Push:
        """Every group of the instance goes."""

@final
class PushBook:
    """The pushed groups of one partition, rebuilt from its log. Safe to share between threads."""

    def __new__(cls, partition: int, splitter: Splitter) -> PushBook: ...
    @staticmethod
    def restore(partition: int, splitter: Splitter, offset: int, entries: Sequence[tuple[bytes, bytes]]) -> PushBook:
        """As it was stored as of `offset`: what lies below is not applied again. CorruptError, UnsupportedError."""
    @staticmethod
    def apply(books: Mapping[int, PushBook], records: Sequence[LogRecord], end: int) -> None:
        """Applies records in order to every book they concern; `end`: the offset after the last."""
    def due(self, now_ms: int, shards: Mapping[bytes, int], max_samples: int) -> list[SplitBatch]:
        """What is to be written now, a batch for each instance in `shards` (by uid), of about `max_samples`. It counts as written until
        `not_sent`."""
    def not_sent(self) -> None:
        """What was due is not known to be in the log: it is due again."""
    def changes(self) -> tuple[int, int, list[tuple[bytes, bytes | None]]] | None:
        """What the store lacks: since when, as of what offset, and entries by key, None for one that goes. None: there
        has never been anything."""
    def everything(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """All that the store should have, as of an offset."""
    def stored(self, offset: int) -> None:
        """The store has every change below."""
    def json(self, uid: bytes, now_ms: int) -> bytes:
        """The groups of an instance as JSON objects, with commas between them."""
    def families(self, uid: bytes, now_ms: int) -> bytes:
        """The families of the groups that an instance has at a time, for `expose_pushed`."""
    def forget(self, uid: bytes) -> None:
        """Drops everything of a deleted instance."""
    def groups(self, uid: bytes, now_ms: int) -> int: ...
    @property
    def size(self) -> tuple[int, int]:
        """(groups, series) of all instances."""
    @property
    def unreadable(self) -> int:
        """Operations of the log that could not be read. Anything but 0 is a fault of ours."""
    def lag_ms(self, now_ms: int) -> int:
        """From the time up to which the samples of the instance furthest behind are in the log; 0 without groups."""

def expose_pushed(pieces: Sequence[bytes], *, as_text: bool) -> bytes:
    """One exposition of what several books have given, in the text format or as delimited protobuf: families by name, their metrics
    by labels."""

# ---- files, log, journal, packs ------------------------------------------------------------------------------------

@final
class Files:
    """A file layer."""

    @staticmethod
    def real() -> Files: ...
    @staticmethod
    def simulated(seed: int) -> Files:
        """In memory; everything works until `power_cut`."""
    def power_cut(self) -> Files:
        """What a disk would hold after the power failed: synced bytes and synced directory entries for sure, of the rest a random part."""
    def set_room(self, room_bytes: int | None) -> None:
        """Simulated only: files may grow by so many more bytes together, then the disk is full; None: it never is."""
    def ignore_sync(self, kind: Literal["data", "directory"], nth: int | None = None) -> None:
        """Make the nth (1: the next; None: every) later sync of that kind a lie, to prove that a test would notice."""
    def lock(self, folder: str) -> FolderLock:
        """Takes the folder for this process; OSError, naming the process that has it, if it is taken."""

@final
class FolderLock:
    """A folder that no other process may use until `release`, or until this one ends."""

    def release(self) -> None: ...

@final
class LogRecord:
    """One durable record. Records of the live tail still carry their decoded columns."""

    @property
    def offset(self) -> int: ...
    @property
    def now_ms(self) -> int:
        """Of a write: the clock by which it was validated, of several requests the oldest. Of a seal: 0."""
    @property
    def kind(self) -> Literal["write", "seal"]: ...
    @property
    def batches(self) -> list[SplitBatch]:
        """Of a write: one in a local log, one for each section of a record in a log of partitions. Read back they have no body."""
    @property
    def partition(self) -> int:
        """Of a seal."""
    @property
    def windows(self) -> list[int]:
        """Of a seal."""
    @property
    def held_bytes(self) -> int:
        """What it keeps in memory."""

@final
class Outbox:
    """What waits to be sent to a log that keeps a sequence for each partition. A *ticket* is one request or seal marker. It is written
    into records by partition, which wait for others for some milliseconds; the batch itself is not kept. Safe to share between threads; `take` is for one."""

    def __new__(
        cls,
        *,
        queue_bytes: int,
        linger_ms: int,
        max_linger_ms: int,
        rest_ms: int,
        records_per_second: int,
        deadline_ms: int,
    ) -> Outbox:
        """`queue_bytes` bounds what tickets keep in memory until they are finished. A request waits `linger_ms` for others, and up to
        `max_linger_ms` where less than `rest_ms` has passed since something was sent or there would be more than
        `records_per_second`; a full record does not wait. After `deadline_ms` a ticket is given up."""
    def add(self, batch: SplitBatch, *, now_ms: int) -> int:
        """Queue a batch that holds something; returns its ticket. Raises BlockingIOError when too much waits, TooLargeError if something
        has no room in a record, OSError once closed."""
    def add_seal(self, partition: int, windows: Sequence[int]) -> int: ...
    def take(self, *, timeout_ms: int) -> list[tuple[int, int, bytes]] | None:
        """(id, partition, value) of records that are due; [] if none were in time, None once it is closed and nothing is left."""
    def acked(self, record: int, offset: int) -> None:
        """The record is durable."""
    def failed(self, record: int, why: str) -> None:
        """The record is not known to be durable."""
    def expire(self) -> None:
        """Give up tickets older than the deadline."""
    def finished(self) -> list[tuple[int, dict[int, int] | None, str | None]]:
        """Since the last call: tickets with the offset of their last record in each partition, or with why they failed."""
    def fileno(self) -> int:
        """Readable when something is finished; read it before `finished`."""
    def close(self) -> None:
        """Take no more; what is queued is due at once."""
    @property
    def held_bytes(self) -> int:
        """Of tickets that are not finished."""
    @property
    def waiting(self) -> int:
        """Tickets that are not finished."""

@final
class RecordDecoder:
    """Reads records of one partition each; threads take turns."""

    def __new__(cls, splitter: Splitter) -> RecordDecoder: ...
    def decode(self, partition: int, offset: int, value: bytes) -> LogRecord:
        """Raises CorruptError if it is not what was written for this partition, UnsupportedError if a later build wrote it."""

@final
class LocalLog:
    """Checksummed segment files under `folder`; one sequence of records for all partitions; group commit on a native thread."""

    @staticmethod
    def open(
        files: Files,
        folder: str,
        *,
        splitter: Splitter,
        segment_bytes: int = ...,
        queue_bytes: int = ...,
        tail_bytes: int = ...,
    ) -> LocalLog:
        """Repairs a torn tail; raises CorruptError, naming file and position, if bytes before it were changed.

        `queue_bytes` bounds what waits for a sync, `tail_bytes` the decoded records that wait for `read`."""
    def append(self, batch: SplitBatch, *, now_ms: int) -> int:
        """Queue a batch; returns its offset. Durable once `committed` is above it. Raises BlockingIOError when the queue is full, OSError
        after a failure or once the log is closed."""
    def append_seal(self, partition: int, windows: Sequence[int]) -> int: ...
    @property
    def committed(self) -> int:
        """The first offset that is not durable yet."""
    @property
    def first(self) -> int:
        """The first offset still held."""
    def fileno(self) -> int:
        """A non-blocking descriptor that becomes readable when `committed` moved or the log failed. Drain it with `os.read(fd, 4096)`
        before looking at `committed`."""
    @property
    def failure(self) -> str | None:
        """Why the log takes nothing: until `resume`, or, if `must_restart`, until it is opened again."""
    @property
    def must_restart(self) -> bool:
        """A sync has failed, so that nobody knows what the disk holds. A failed write, as on a full disk, was taken back."""
    def resume(self) -> None:
        """Accept records again, unless `must_restart`. Those queued at the failure are lost and their offsets are given anew: nobody may
        wait for them any more."""
    def read(self, offset: int, *, max_records: int, timeout_ms: int) -> list[LogRecord]:
        """Records from `offset` on, in order, waiting (without the GIL) for the first one; [] if none came. Replays from disk or takes the
        live tail, which each read drops up to what it returns. CorruptError if the log does not reach from `first` to `offset`,
        CanceledError once it is closed."""
    def reader(self) -> LocalLogReader:
        """One for each thread that reads: it remembers where in the files it is."""
    def trim(self, offset: int) -> None:
        """Everything below `offset` may go. Whole segments are unlinked; the active one is rolled first if nothing in it is needed."""
    @property
    def bytes(self) -> int: ...
    def close(self) -> None:
        """Commits what is queued and stops; `failure` tells if it could not. Readers get CanceledError."""

@final
class LocalLogReader:
    def read(self, offset: int, *, max_records: int, timeout_ms: int) -> list[LogRecord]:
        """As `LocalLog.read`; [] too after `wake`."""
    def wake(self) -> None:
        """From any thread: ends the wait of a read, or that of the next one which would have to wait."""

@final
class Journal:
    """A small checksummed key-value store: all of it in memory, every transaction appended and synced, rewritten when it has grown.

    After a failed sync it takes nothing more until it is opened again (OSError); a failed write is taken back, and may be tried again."""

    @staticmethod
    def open(files: Files, path: str) -> Journal: ...
    def get(self, key: str) -> bytes | None: ...
    def scan(self, prefix: str) -> list[tuple[str, bytes]]: ...
    def commit(
        self,
        puts: Mapping[str, bytes],
        deletes: Sequence[str] = ...,
        *,
        expect: Mapping[str, bytes | None] | None = ...,
    ) -> bool:
        """Atomic and durable when it returns True; False, and nothing done, if a key of `expect` has another value (None: exists not).
        A key that is deleted and put is put."""
    def close(self) -> None: ...

@final
class Packs:
    """Payload: each `write` makes one file of many values, synced with its directory entry before it returns.

    Names are never used again, and are made of letters, digits, '-', '_' and '.'. Packs keep and check a checksum per value."""

    @staticmethod
    def open(files: Files, folder: str) -> Packs: ...
    def write(self, name: str, values: Sequence[bytes]) -> list[tuple[int, int]]:
        """(position, length) of each value in the pack `name`."""
    def read(self, name: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """The values of spans that `write` returned. FileNotFoundError: there is no such pack; CorruptError: a value was changed."""
    def remove(self, name: str) -> None:
        """A power cut may bring the pack back."""
    def names(self) -> list[str]:
        """Of all packs, those of torn writes among them."""
    def size(self, name: str) -> int: ...

def crc32c(data: bytes) -> int:
    """CRC-32C, as manifests list it."""

# ---- blocks --------------------------------------------------------------------------------------------------------

@final
class BlockParts:
    """An encoded block: one instance's part of one generation."""

    @property
    def uid(self) -> bytes: ...
    @property
    def root(self) -> bytes: ...
    @property
    def pages(self) -> list[bytes]: ...
    @property
    def series(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def min_time(self) -> int: ...
    @property
    def max_time(self) -> int: ...
    @property
    def digest(self) -> bytes:
        """16 bytes; independent of the order of series; equal for equal samples."""

@final
class BlockReader:
    """An opened root. Immutable and safe to share."""

    @staticmethod
    def open(root: bytes) -> BlockReader: ...
    @property
    def series(self) -> int: ...
    @property
    def pages(self) -> int: ...
    @property
    def memory_bytes(self) -> int: ...
    def verify(self, pages: Sequence[bytes]) -> bytes:
        """Decode everything and return the digest; raises CorruptError. For fsck."""

def merge_blocks(blocks: Sequence[tuple[BlockReader, Sequence[bytes]]], uid: bytes) -> BlockParts:
    """One block of several; given in log order, so that of two samples at one time the earlier block's stays."""

# ---- head ----------------------------------------------------------------------------------------------------------

@final
class WindowInfo:
    """One generation of a window that the head holds."""

    @property
    def window(self) -> int: ...
    @property
    def first_offset(self) -> int: ...
    @property
    def sealed(self) -> int | None:
        """The marker's offset once sealed."""
    @property
    def samples(self) -> int: ...
    @property
    def bytes(self) -> int: ...

@final
class Head:
    """All that one partition holds between log and store. Safe to share between threads; locks are short."""

    def __new__(cls, partition: int, *, window_ms: int, only: int | None = None) -> Head:
        """`only`: the one window whose samples it takes in."""
    @staticmethod
    def apply(heads: Mapping[int, Head], records: Sequence[LogRecord]) -> int:
        """Apply records (at least one) in order to every head they concern, seal markers included; returns the offset after the last."""
    @property
    def window_ms(self) -> int: ...
    def set_through(self, through: Mapping[int, int]) -> None:
        """window → offset below which its samples are in the store and skipped."""
    def windows(self) -> list[WindowInfo]: ...
    def cut(self, window: int, sealed: int) -> list[BlockParts]:
        """Encode a sealed generation, one block per instance; the head keeps its chunks and answers queries all the while."""
    def summary(self, window: int, sealed: int) -> list[tuple[bytes, int, bytes, int]]:
        """What `cut` would give, at a tenth of its price: (uid, samples, digest, time of the last sample) of each block."""
    def release(self, window: int, sealed: int) -> None:
        """The generation is in the directory: drop its chunks, and series that hold nothing else."""
    def active_series(self, uid: bytes) -> int: ...
    def largest_metric(self, uid: bytes) -> int:
        """Series of the metric that has most of them."""
    def metric_series(self, uid: bytes, metrics: Sequence[str]) -> list[int]:
        """Series of each of these metrics."""
    def samples_per_second(self, uid: bytes, now_ms: int) -> float:
        """Over the last minute, by the clock of those who wrote the log."""
    def holds(self, uid: bytes, keys: bytes) -> bytes:
        """For each key of 16 bytes one byte: 1 if a series is held under it."""
    @staticmethod
    def admit(heads: Sequence[Head], batch: SplitBatch, *, max_series: int, max_series_per_metric: int) -> SplitBatch:
        """The batch without the new series that there is no room for, refused as `series_limit` or `metric_series_limit`. `heads` are
        those of all partitions of its instance."""
    def forget(self, uid: bytes) -> None:
        """Drop everything of a deleted instance."""
    def metadata(self, uid: bytes) -> list[tuple[str, int, str, str]]:
        """(family, type number, help, unit)."""
    def exemplars(self, uid: bytes, matcher_sets: Sequence[Sequence[Matcher]], min_ms: int, max_ms: int) -> bytes:
        """Exemplars of series that match one of the sets, between two times, both included, for `json_exemplars`."""
    def exemplar_version(self, uid: bytes) -> int:
        """Rises with every exemplar of an instance; 0 while it has had none."""
    def exemplar_snapshot(self, uid: bytes) -> bytes:
        """All exemplars of an instance, for the store; empty if there are none."""
    def restore_exemplars(self, uid: bytes, snapshot: bytes) -> None:
        """What a snapshot holds, before anything is applied. BadDataError: it is none."""
    def restore_metadata(self, uid: bytes, entries: Sequence[tuple[str, int, str, str]]) -> None: ...
    @property
    def series(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def conflicts(self) -> int:
        """Samples left out because another value of the series at that time was applied first."""
    @property
    def unreadable(self) -> int:
        """Series of the log whose labels could not be read. Anything but 0 is a fault of this software."""
    @property
    def memory_bytes(self) -> int: ...

# ---- select --------------------------------------------------------------------------------------------------------

@final
class Matcher:
    def __new__(cls, name: str, op: Literal["=", "!=", "=~", "!~"], value: str) -> Matcher:
        """Raises BadDataError for a regex that does not compile or is too large."""
    @property
    def name(self) -> str: ...
    @property
    def op(self) -> str: ...
    @property
    def value(self) -> str: ...
    def matches(self, value: str) -> bool: ...
    @property
    def regex_bytes(self) -> int:
        """An upper bound of the compiled regex's size; 0 without one."""

@final
class HeadSearch:
    """One selector as heads are asked for it: the series that match with their samples between two times, both included."""

    def __new__(
        cls,
        query: Query,
        uid: bytes,
        matchers: Sequence[Matcher],
        min_time: int,
        max_time: int,
        fold: Fold | None = ...,
    ) -> HeadSearch:
        """With `fold` the series are for `HeadPart.fold` alone: they have only the labels that it looks at."""
    def parts(self, heads: Sequence[Head], patience_s: float | None = ...) -> list[HeadPart | None]:
        """What each head holds, in their order; None: nothing. It ends early, though never before the first, once `patience_s` are over: ask
        again for the others, where it may take longer."""

@final
class HeadPart:
    """What one head holds of one selector, copied; its memory counts in the query's budget."""

    @property
    def size(self) -> tuple[int, int]:
        """(series, bytes); (0, 0) once it was added or encoded."""
    @property
    def has_histograms(self) -> bool:
        """Native ones; False once it was added or encoded."""
    def fold(self, fold: Fold, first: int = ...) -> FoldedPart | None:
        """What the series come to at the steps from `first` on; the part stays, without the samples that only those steps need
        if there are steps before. None: there are histograms, or what would be spared is the smaller. Raises what an
        evaluation raises. RuntimeError: it was added or encoded before. BadDataError: there is no step `first`."""
    def encode(self) -> OutgoingPart:
        """For another process. RuntimeError: it was added or encoded before."""

@final
class Fold:
    """`op` (sum avg count min max group) of a range function without parameters, or with None of the newest samples, which
    may be older than a step by less than `range_ms`."""

    def __new__(
        cls,
        query: Query,
        grid: tuple[int, int, int],
        function: str | None,
        *,
        range_ms: int,
        offset_ms: int,
        op: str,
        without: bool,
        labels: Sequence[str],
    ) -> Fold:
        """BadDataError: there is no such function or aggregation."""

@final
class FoldedPart:
    """What the series of one head come to in a `Fold`: partial results; their memory counts in the query's budget."""

    @property
    def size(self) -> tuple[int, int]:
        """(series, bytes of the results); (0, 0) once it was added or encoded."""
    @property
    def steps(self) -> int:
        """How many it covers, the last ones of the grid; 0 once it was added or encoded."""
    def encode(self) -> OutgoingPart:
        """As `HeadPart.encode`."""

@final
class Selection:
    """Puts together the series of one selector. Add blocks and parts of heads, supply the pages asked for, finish."""

    def __new__(cls, query: Query, matchers: Sequence[Matcher], min_time: int, max_time: int) -> Selection:
        """Times are inclusive."""
    def add_block(self, reader: BlockReader) -> list[int]:
        """In log order of the generations, before the head of the same partition; returns the pages to supply. Nothing found: []."""
    def supply(self, pages: Sequence[bytes]) -> None:
        """The pages that the last `add_block` named, in its order."""
    def add_part(self, part: HeadPart) -> None:
        """What a head gave to this query, behind the blocks of its partition. RuntimeError: it was added before."""
    def add_whole(self, part: HeadPart) -> None:
        """All that there is of a partition whose series are in no other one; it needs no blocks. The selection is then for
        an aggregation alone, which goes over the series of each such partition by themselves, in the order of adding, and
        merges what they come to: the same to the last bit, wherever a partition is folded."""
    def add_folded(self, part: FoldedPart) -> None:
        """As `add_whole`, after `part.fold`: the aggregation has to be the same. ExecutionError: the series read for it are
        more than the query may read."""
    def close(self, end: int) -> None:
        """What was added since the last time, or since the beginning, is all that the steps before `end` need of a partition
        whose series are in no other one. The selection is then for an aggregation alone, as with `add_whole`."""
    def close_split(self, part: HeadPart, first: int) -> None:
        """As `add_part` and `close(first)`. The steps from `first` on need nothing but the part."""
    def close_folded(self, part: FoldedPart, first: int) -> None:
        """As `close(first)`. The steps from then on were folded, as for `add_folded`."""
    def finish(self) -> SeriesSet: ...

@final
class SeriesSet:
    """Rows of labels with a way to read their samples."""

    def __len__(self) -> int:
        """Without those that were folded."""

@final
class NamesSearch:
    """What is asked of heads for the metadata endpoints: label sets that match and have samples in a window that overlaps the
    times; without a set all label pairs."""

    def __new__(
        cls, query: Query, uid: bytes, matcher_sets: Sequence[Sequence[Matcher]], min_time: int, max_time: int
    ) -> NamesSearch: ...
    def parts(self, heads: Sequence[Head], patience_s: float | None = ...) -> list[NamesPart | None]:
        """As `HeadSearch.parts`."""

@final
class NamesPart:
    """Label sets or pairs that one head holds, copied; their memory counts in the query's budget."""

    def encode(self) -> OutgoingPart:
        """As `HeadPart.encode`."""

@final
class OutgoingPart:
    """The bytes of a part for another process; docs/formats.md has their form. They count in the query's budget."""

    def __len__(self) -> int: ...
    def frame(self, start: int, size: int) -> bytes:
        """At most `size` bytes from `start` on."""

@final
class IncomingPart:
    """A part that another process sends, frame by frame."""

    def __new__(cls, query: Query, announced: int) -> IncomingPart:
        """`announced` bytes count in the query's budget from now on. ExecutionError: it cannot afford them."""
    def add(self, frame: bytes) -> None:
        """CorruptError: there are more bytes than announced."""
    @property
    def is_complete(self) -> bool: ...
    def head_part(self) -> HeadPart:
        """Once it is complete. CorruptError: a selection's part it is not; UnsupportedError: of a newer format."""
    def folded_part(self) -> FoldedPart:
        """As `head_part`, of what was folded."""
    def names_part(self) -> NamesPart:
        """As `head_part`, of a `NamesSearch`."""

@final
class Names:
    """Collects label names, values or label sets over heads and blocks, for the metadata endpoints. No samples are decoded."""

    def __new__(
        cls,
        query: Query,
        matcher_sets: Sequence[Sequence[Matcher]],
        min_time: int,
        max_time: int,
        label: str | None = ...,
    ) -> Names:
        """Without a matcher set of blocks all label pairs are collected, whatever the times of their series; with `label`
        those of that label alone."""
    def add_block(self, reader: BlockReader) -> None: ...
    def add_part(self, part: NamesPart) -> None:
        """What a head gave to this query for the same sets and times. RuntimeError: it was added before."""
    def label_names(self) -> list[str]: ...
    def label_values(self, name: str) -> list[str]: ...
    def series_json(self, limit: int) -> tuple[bytes, bool]:
        """A JSON array of label objects sorted by label set, and whether `limit` (0: none) cut it."""

# ---- engine --------------------------------------------------------------------------------------------------------
# A Frame is rows by steps of cells (absent, float, histogram) with one label set per row. Steps are start + i·step. A frame of
# one step broadcasts. A scalar is a frame of one row without labels. Every function returns a new frame (or reuses an
# argument's memory when nobody else holds it), counts its memory in the query's budget and polls its cancel flag.

_Grid: TypeAlias = tuple[int, int, int]
"""(start_ms, step_ms, steps). A step of 0 repeats one time."""

@final
class Query:
    """The symbols, budget, notes and cancel flag of one query."""

    def __new__(
        cls,
        *,
        max_samples: int | None = ...,
        max_series: int | None = ...,
        max_bytes: int | None = ...,
        delays_names: bool = ...,
        uses_starts: bool = ...,
        uses_types: bool = ...,
    ) -> Query:
        """`max_samples` bounds what is held at one time, as in Prometheus: present cells of live frames plus the samples
        in the window at hand. A histogram counts as a sixteenth of its bytes. None takes the default: 50 million samples,
        2 million series, 4 GiB. Without `uses_starts` start times of samples are taken for unknown. With
        `uses_types` the label `__type__` tells what is a counter."""
    @property
    def max_samples(self) -> int: ...
    @property
    def delays_names(self) -> bool: ...
    @property
    def uses_starts(self) -> bool: ...
    @property
    def uses_types(self) -> bool: ...
    @property
    def max_series(self) -> int: ...
    @property
    def max_bytes(self) -> int: ...
    def cancel(self) -> None:
        """Safe from any thread; what runs raises CanceledError within milliseconds."""
    def take_notes(self) -> list[tuple[str, str, str]]:
        """(kind, detail, metric) noted by the calls since the last time, each once, in order. Numbers are as Go's %g prints
        them; metric is a name, or "" where none is known. Where no detail is said it is "".

        kind                     detail
        quantile_out_of_range    the quantile: "2", "NaN"
        ratio_out_of_range       "1.1, capping to 1"
        not_a_counter            (rate or increase met a metric without a counter's ending)
        not_typed_a_counter      the type that rate or increase met instead of a counter's
        mixed_kinds              (floats and histograms in one range)
        mixed_layouts            (exponential and custom buckets in one range)
        histogram_not_a_counter  (a gauge histogram in a function of counters)
        histogram_not_a_gauge    (a counter histogram in a function of gauges)
        ignored_histograms       (only the floats of a range count)
        starts_overlap           how often a sample claimed to count what the one before it had counted
        bounds_reconciled        "addition", "subtraction" or "aggregation" of different custom bounds
        hints_collide            the same, of a counter that started again and one that went on
        mixed_in_aggregation     (floats and histograms in one group)
        layouts_in_aggregation   (exponential and custom buckets in one group)
        ignored_in_aggregation   the aggregation that left out histograms
        bounds_in_aggregation    (different custom bounds in one group)
        hints_in_aggregation     (a counter that started again and one that went on in one group)
        incompatible_types       '"+": histogram + float'
        incompatible_layouts     the binary operator between exponential and custom buckets
        bad_bucket_label         a value of `le` that is not a number; "" where it is missing
        mixed_classic_native     (a classic and a native histogram of one label set)
        forced_monotonicity      "lowest highest difference samples first last": bounds of repaired buckets, the largest
                                 difference (%.2g), how many histograms were repaired, and their first and last step
        quantile_is_nan          (the quantile lies among observations of NaN)
        quantile_is_skewed       (observations of NaN counted as very large)
        fraction_without_nan     (observations of NaN are in no fraction)
        """
    @property
    def samples_read(self) -> int: ...
    @property
    def peak_samples(self) -> int: ...
    @property
    def peak_bytes(self) -> int: ...

@final
class Frame:
    @property
    def rows(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Of cells and labels, which other frames may share."""

@final
class Histogram:
    """A native histogram, for tests and tools. Buckets are (index, count); `custom_values` are upper bounds, with schema -53."""

    def __new__(
        cls,
        *,
        schema: int = ...,
        count: float = ...,
        total: float = ...,
        zero_threshold: float = ...,
        zero_count: float = ...,
        positive: Sequence[tuple[int, float]] = ...,
        negative: Sequence[tuple[int, float]] = ...,
        custom_values: Sequence[float] = ...,
        hint: Literal["unknown", "reset", "not_reset", "gauge"] = ...,
    ) -> Histogram: ...
    def plus(self, other: Histogram) -> Histogram: ...
    def minus(self, other: Histogram) -> Histogram: ...
    def compacted(self) -> Histogram:
        """Without empty buckets."""
    def stored_behind(self, before: Histogram | None) -> Histogram:
        """With the hint that it has when it is read behind another of its series."""
    @property
    def schema(self) -> int: ...
    @property
    def count(self) -> float: ...
    @property
    def total(self) -> float:
        """The sum of all observations."""
    @property
    def zero_threshold(self) -> float: ...
    @property
    def zero_count(self) -> float: ...
    @property
    def positive(self) -> list[tuple[int, float]]: ...
    @property
    def negative(self) -> list[tuple[int, float]]: ...
    @property
    def custom_values(self) -> list[float]: ...
    @property
    def hint(self) -> str: ...

def elements(query: Query, frame: Frame) -> list[tuple[dict[str, str], list[float | Histogram | None]]]:
    """The labels of each row, and what stands at each step: for tests and tools."""

def number(value: float, steps: int) -> Frame: ...
def time_of(grid: _Grid) -> Frame:
    """`time()`: seconds of each step, as a scalar."""

def select_instant(
    query: Query,
    series: SeriesSet,
    grid: _Grid,
    *,
    offset_ms: int,
    lookback_ms: int,
    shows: Literal["value", "time", "time_of_float", "start"] = ...,
) -> Frame:
    """The newest sample with T - offset - lookback < t <= T - offset, unless stale; or its time in seconds, for which it may
    have to be a float; or its start time in seconds, 0 where that is not known. Names stay."""

def select_range(
    query: Query,
    series: SeriesSet,
    grid: _Grid,
    function: str,
    *,
    range_ms: int,
    offset_ms: int,
    params: Sequence[Frame] = ...,
) -> Frame:
    """A range function over (T - offset - range, T - offset]. Names stay; the caller drops them."""

def select_extended(
    query: Query,
    series: SeriesSet,
    grid: _Grid,
    function: str,
    *,
    range_ms: int,
    offset_ms: int,
    lookback_ms: int,
    edges: Literal["anchored", "smoothed"],
) -> Frame:
    """A function of an extended range selector: rate, increase, delta, and if anchored changes and resets. `series` holds the
    samples of `lookback_ms` before the windows, too, and if smoothed of as much behind them."""

def select_smoothed(query: Query, series: SeriesSet, grid: _Grid, *, offset_ms: int, lookback_ms: int) -> Frame:
    """A smoothed instant selector: interpolated between neighbours at most `lookback_ms` away. Names stay."""

def aggregate_instant(
    query: Query,
    series: SeriesSet,
    grid: _Grid,
    *,
    offset_ms: int,
    lookback_ms: int,
    op: str,
    without: bool,
    labels: Sequence[str],
) -> Frame:
    """`op` over `select_instant`, without holding rows by steps. op: sum avg count min max group stddev
    stdvar."""

def aggregate_range(
    query: Query,
    series: SeriesSet,
    grid: _Grid,
    function: str,
    *,
    range_ms: int,
    offset_ms: int,
    params: Sequence[Frame] = ...,
    op: str,
    without: bool,
    labels: Sequence[str],
) -> Frame: ...
def histogram_statistics(series: SeriesSet) -> SeriesSet:
    """The same series; histograms hold count and sum only, and whether the counter started again since the one before."""

def as_series(query: Query, frame: Frame, grid: _Grid) -> SeriesSet:
    """The inner frame of a subquery as a source of samples."""

def series_from_samples(
    query: Query,
    series: Sequence[tuple[Mapping[str, str], Sequence[int], Sequence[float | Histogram]]],
    starts: Sequence[Sequence[int]] = ...,
) -> SeriesSet:
    """(labels, strictly ascending times in ms, values) of each series, without a head or a block: for tests and tools.
    `starts`: the start time in ms of each sample, 0 where it is not known; nothing for a series of which none is."""

def broadcast(frame: Frame, steps: int) -> Frame: ...
def drop_names(query: Query, frame: Frame) -> Frame:
    """Remove `__name__`, `__type__` and `__unit__`; equal label sets merge, and two present at one step raise ExecutionError.
    Of a query that delays names the rows are only marked."""

def finish_names(query: Query, frame: Frame) -> Frame:
    """Remove the names of marked rows, as `drop_names` does of all: the end of a query that delays names."""

def apply_function(query: Query, function: str, frame: Frame, params: Sequence[Frame] = ..., *, grid: _Grid) -> Frame:
    """Element-wise functions (abs … clamp, round, sgn, timestamp, hour, histogram_count …), unary minus as `neg`. Names stay."""

def binary_scalars(op: str, left: Frame, right: Frame) -> Frame: ...
def binary_scalar(query: Query, op: str, frame: Frame, scalar: Frame, *, scalar_left: bool, return_bool: bool) -> Frame:
    """Names stay; the caller drops them where the language says so."""

def binary(
    query: Query,
    op: str,
    left: Frame,
    right: Frame,
    *,
    card: Literal["one-to-one", "many-to-one", "one-to-many"],
    on: bool,
    labels: Sequence[str],
    include: Sequence[str],
    return_bool: bool,
    fill_left: float | None = ...,
    fill_right: float | None = ...,
) -> Frame:
    """Vector matching with result labels as the language defines them, the name dropped where it says so. With
    `one-to-many` too `fill_left` stands in on the "many" side, as in Prometheus."""

def set_operator(
    query: Query, op: Literal["and", "or", "unless"], left: Frame, right: Frame, *, on: bool, labels: Sequence[str]
) -> Frame: ...
def aggregate(
    query: Query,
    op: str,
    frame: Frame,
    *,
    without: bool,
    labels: Sequence[str],
    param: Frame | None = ...,
    text: str | None = ...,
) -> Frame:
    """Every aggregation. `param` is k, q or the ratio; `text` the label of count_values."""

def label_replace(query: Query, frame: Frame, dst: str, replacement: str, src: str, regex: str) -> Frame: ...
def label_join(query: Query, frame: Frame, dst: str, separator: str, sources: Sequence[str]) -> Frame: ...
def absent(query: Query, frame: Frame, labels: Sequence[tuple[str, str]]) -> Frame: ...
def to_scalar(frame: Frame) -> Frame: ...
def to_vector(scalar: Frame) -> Frame: ...
def sort(query: Query, frame: Frame, *, descending: bool) -> Frame: ...
def info(
    query: Query, frame: Frame, times: Frame, *, names: Sequence[Matcher], labels: Sequence[str], drops_unmatched: bool
) -> Frame:
    """Join labels of info series by `instance` and `job`. `times` holds the time of each info series' sample in seconds; `names`
    say which elements are info series themselves, `labels` which to add (all if empty)."""

def sort_by_label(query: Query, frame: Frame, labels: Sequence[str], *, descending: bool) -> Frame:
    """An instant vector in the natural order of the values of `labels`, then by all labels."""

def histogram_quantile(query: Query, quantile: Frame, frame: Frame) -> Frame: ...
def histogram_fraction(query: Query, lower: Frame, upper: Frame, frame: Frame) -> Frame: ...
def json_vector(query: Query, frame: Frame, grid: _Grid, limit: int) -> tuple[bytes, bool]:
    """The `result` array of an instant vector, and whether `limit` (0: none) cut it."""

def json_exemplars(parts: Sequence[bytes]) -> bytes:
    """What heads found, as `query_exemplars` lists it: sorted by label set, and by time; equal ones once. BadDataError."""

def json_matrix(query: Query, frame: Frame, grid: _Grid, limit: int) -> tuple[bytes, bool]:
    """Rows sorted by label set; rows without any cell are left out."""

def json_samples(query: Query, series: SeriesSet, min_time: int, max_time: int, limit: int) -> tuple[bytes, bool]:
    """Raw samples, stale markers left out: an instant query for a range selector."""

def json_pinned_samples(
    query: Query,
    series: SeriesSet,
    start: int,
    end: int,
    limit: int,
    *,
    edges: Literal["anchored", "smoothed"],
    lookback_ms: int,
) -> tuple[bytes, bool]:
    """Samples between two times, and one at each of them: an instant query for an extended range selector. `series` holds
    the samples of the look-back around them. ExecutionError: there are histograms."""

def json_scalar(frame: Frame, time_ms: int) -> bytes: ...
def json_string(text: str, time_ms: int) -> bytes: ...
def format_float(value: float) -> str:
    """As Prometheus prints a sample value."""

# ---- made-up traffic, for the load generator -----------------------------------------------------------------------

@final
class LoadCheck:
    """Samples of one answer, by how they were found."""

    @property
    def right(self) -> int:
        """Acknowledged, and there once with the right value."""
    @property
    def unsure(self) -> int:
        """There, right, and not known to have been acknowledged."""
    @property
    def missing(self) -> int:
        """Acknowledged, and not there."""
    @property
    def wrong(self) -> int:
        """There with another value."""
    @property
    def doubled(self) -> int: ...
    @property
    def unexpected(self) -> int:
        """Of a series or time that was never sent."""
    @property
    def examples(self) -> list[str]:
        """The first few of what is not as it should be, in words."""
    @property
    def warnings(self) -> list[str]:
        """What the server had to say about its answer."""

@final
class LoadModel:
    """Targets that are scraped at an interval. What they hold is a function of the seed: any of it can be computed again.

    Step k lies between `start_ms + k * interval_ms` and the same for k + 1. Safe to share between threads.
    """

    def __new__(
        cls,
        *,
        seed: int,
        run: str,
        series: int,
        batch: int,
        start_ms: int,
        interval_ms: int,
        jitter_ms: int = ...,
        lifetime: int = ...,
        uptime: int = ...,
        histograms: float = ...,
        late: float = ...,
        twice: float = ...,
        altered: float = ...,
    ) -> LoadModel:
        """`run` is a label of every series, `batch` the series of a target; after `lifetime` steps (0: never) another
        target takes its place, after `uptime` steps its counters restart. `histograms` is the share of the series that
        belong to classic histograms; `late`, `twice` and `altered` are the shares of the bodies that are sent some steps
        late, sent again, and sent again with other values. Raises BadDataError if that cannot be."""
    @property
    def targets(self) -> int: ...
    def samples(self, target: int) -> int:
        """Of each body, without stale markers."""
    def phase_ms(self, target: int) -> int:
        """When the target is scraped, from the beginning of its steps, give or take the jitter."""
    def matchers(self, target: int) -> list[tuple[str, str]]:
        """(label, value) that all series which the target ever has share with no others."""
    def turns(self, target: int, step: int) -> list[tuple[Literal["on_time", "late", "again", "altered"], int]]:
        """What is to be sent at this step, in order: whose body, and why now."""
    def body(self, target: int, step: int, *, altered: bool = ...) -> bytes:
        """A remote-write 1.0 body in snappy; with the stale markers of series that have just ended."""
    def check(self, answer: bytes, *, target: int, first_step: int, before: bytes, after: bytes) -> LoadCheck:
        """Compare the raw samples of some steps, as the query API writes a matrix, with what was sent: `before` and `after`
        hold a byte for each step, of what was known of its body before the question was asked and after it was answered:
        0 not sent, 1 perhaps, 2 acknowledged. Raises BadDataError if the answer is no such result."""
