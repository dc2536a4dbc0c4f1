"""Every metric of this server, declared once. docs/metrics.md lists the same, and a test compares."""

from shared.telemetry.metrics import Counter, Family, Histogram, Observed

BYTES_BUCKETS = (1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6)


class Catalogue:
    """The metrics of one process. What grows with tenants or series is never a label here."""

    def __init__(self) -> None:
        self.build_info = Observed("headrace_build_info", "Always 1; the labels say what runs.", ("version", "python"))
        self.start_time = Observed("process_start_time_seconds", "When the process started, in Unix seconds.")
        self.cpu = Observed("process_cpu_seconds_total", "CPU time used, user and system.", kind="counter")
        self.resident = Observed("process_resident_memory_bytes", "Resident memory.")
        self.open_fds = Observed("process_open_fds", "Open file descriptors.")

        self.workers_up = Observed(
            "headrace_worker_up",
            "1 for each worker of this process that answers, 0 for one that does not.",
            ("worker",),
        )

        self.http_requests = Counter("headrace_http_requests_total", "Requests answered.", ("route", "code"))
        self.http_seconds = Histogram(
            "headrace_http_request_duration_seconds",
            "From the headers of a request to the end of its answer.",
            ("route",),
        )

        self.received_samples = Counter("headrace_received_samples_total", "Samples accepted and durable in the log.")
        self.received_series = Counter(
            "headrace_received_series_total", "Series in accepted write requests, once for each request."
        )
        self.received_bytes = Counter("headrace_received_bytes_total", "Compressed bytes of accepted write requests.")
        self.refused_samples = Counter(
            "headrace_refused_samples_total",
            "Samples refused, by reason; /api/v1/status/rejections has an example of each.",
            ("reason",),
        )
        self.instance_refused_samples = Counter(
            "headrace_instance_refused_samples_total",
            "The same, of the first 100 instances of which something was refused here; of all others together as `…`.",
            ("app_id", "reason"),
        )
        self.series_unchecked = Counter(
            "headrace_series_unchecked_total",
            "Series that passed without a look at their instance's limit, because no ingester answered in time.",
        )
        self.write_body = Histogram(
            "headrace_write_body_bytes", "Compressed size of write requests.", bounds=BYTES_BUCKETS
        )
        self.write_inflight = Observed("headrace_write_inflight_bytes", "Bodies received and not yet answered.")
        self.write_inflight_limit = Observed(
            "headrace_write_inflight_limit_bytes",
            "Above this, writes are answered with 503 (write.max_inflight_bytes).",
        )
        self.log_append_seconds = Histogram(
            "headrace_log_append_duration_seconds",
            "From handing a batch to the log until it is durable. Grows with a slow disk.",
        )

        self.log_bytes = Observed("headrace_log_bytes", "Bytes the log holds on disk. Grows while cuts fail.")
        self.log_end_offset = Observed(
            "headrace_log_end_offset", "The first offset of the log that is not durable yet."
        )
        self.log_first_offset = Observed("headrace_log_first_offset", "The first offset that the log still holds.")
        self.kafka_queued_bytes = Observed(
            "headrace_kafka_queued_bytes",
            "Of writes that Kafka has not acknowledged; above kafka.queue_bytes writes get 503.",
        )
        self.kafka_waiting = Observed("headrace_kafka_waiting_writes", "Writes that wait for Kafka's acknowledgement.")
        self.kafka_records = Observed(
            "headrace_kafka_records_total",
            "Records handed to Kafka, each with sections of many writes.",
            kind="counter",
        )
        self.kafka_bytes = Observed("headrace_kafka_bytes_total", "Bytes of these records.", kind="counter")
        self.kafka_lookups = Observed(
            "headrace_kafka_lookups_total",
            "Times that Kafka was asked how far its log goes, for many queries at once.",
            kind="counter",
        )
        self.redis_commands = Observed(
            "headrace_redis_commands_total", "Commands sent to Redis, repetitions included.", kind="counter"
        )
        self.rpc_calls = Observed(
            "headrace_rpc_calls_total", "Calls to ingesters, by method.", ("method",), kind="counter"
        )
        self.rpc_failures = Observed(
            "headrace_rpc_failures_total",
            "Calls to ingesters that failed, by method; where another zone answered, nobody noticed.",
            ("method",),
            kind="counter",
        )
        self.partitions = Observed(
            "headrace_ingester_partitions", "Partitions that this ingester has, those that replay among them."
        )
        self.replays = Observed("headrace_ingester_replays", "Replays of the log under way.")
        self.applied_offset = Observed(
            "headrace_ingester_applied_offset", "The heads hold all records below this offset.", ("partition",)
        )
        self.lag_records = Observed(
            "headrace_ingester_lag_records", "Durable records that the heads have not applied. Queries wait for these."
        )
        self.canary_delay = Observed(
            "headrace_canary_delay_seconds",
            "From the append of a partition's last canary sample until it can be read. Grows while none gets through.",
            ("partition",),
        )
        self.head_series = Observed("headrace_head_series", "Series held in memory.", ("partition",))
        self.head_samples = Observed("headrace_head_samples", "Samples held in memory.", ("partition",))
        self.head_bytes = Observed("headrace_head_memory_bytes", "Memory of the heads.", ("partition",))
        self.head_conflicts = Observed(
            "headrace_conflicting_samples_total",
            "Samples dropped because their series had another value at the same time. Two senders write one series.",
            ("partition",),
            kind="counter",
        )
        self.replay_age = Observed(
            "headrace_ingester_replay_age_seconds",
            "Age of the oldest record that a replay would begin with. Keep it far below the log's retention.",
            ("partition",),
        )
        self.sealed_windows = Observed(
            "headrace_ingester_sealed_windows",
            "Windows sealed and not yet stored. Stays above 0 while cuts fail.",
            ("partition",),
        )
        self.store_bytes = Observed(
            "headrace_store_bytes",
            "Payload of blocks in the store; in a cluster of what an ingester maintains, looked at every ten minutes.",
        )
        self.store_generation = Observed(
            "headrace_store_generation",
            "Generation of a partition's directory; rises with every commit.",
            ("partition",),
        )
        self.ingester_events = Observed(
            "headrace_ingester_events_total",
            "What the ingester did, by kind; `failures` and `digest_mismatches` should not rise.",
            ("event",),
            kind="counter",
        )
        self.alarms = Observed("headrace_alarm", "1 for each kind of trouble that lasts; the log says more.", ("kind",))
        self.paused = Observed(
            "headrace_ingester_paused", "1 while memory is full and the store refuses: the log holds what comes in."
        )

        self.queries = Counter("headrace_queries_total", "Queries evaluated, by outcome.", ("outcome",))
        self.query_seconds = Histogram(
            "headrace_query_duration_seconds", "Queries from parsing to the last byte of JSON.", ("kind",)
        )
        self.query_samples = Counter("headrace_query_samples_total", "Samples that queries have read.")
        self.cache_bytes = Observed(
            "headrace_query_cache_bytes", "Roots and pages of blocks that a querier keeps; at most `query.cache_bytes`."
        )
        self.cache_hits = Observed(
            "headrace_query_cache_hits_total", "Roots and pages that were kept.", ("kind",), kind="counter"
        )
        self.cache_misses = Observed(
            "headrace_query_cache_misses_total",
            "Roots and pages that the store was asked for.",
            ("kind",),
            kind="counter",
        )
        self.queries_running = Observed("headrace_queries_running", "Queries being evaluated now.")
        self.queries_waiting = Observed(
            "headrace_queries_waiting", "Queries waiting for a place (max_concurrent_queries of their instance)."
        )
        self.instances = Observed("headrace_instances", "Instances in the registry.")
        self.instance_series = Observed(
            "headrace_instance_series", "Series in memory, of the 100 instances that have most here.", ("app_id",)
        )
        self.instance_rate = Observed(
            "headrace_instance_samples_per_second", "Samples over the last minute, of the same instances.", ("app_id",)
        )
        self.instance_stored_bytes = Observed(
            "headrace_instance_stored_bytes",
            "Payload of blocks in the store, of the same instances, as `headrace_store_bytes` counts it.",
            ("app_id",),
        )

    def families(self) -> list[Family]:
        return list(vars(self).values())
