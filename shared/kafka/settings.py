"""Where Kafka is and how it is spoken to. The composition root builds it; tests shorten the times."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """`brokers` are some of them, as HOST:PORT; the others are found by them."""

    brokers: tuple[str, ...]
    topic: str = "headrace"

    # Of a topic that is made.
    replication: int = 3
    min_isr: int = 2
    retention_s: int = 7 * 86400
    allow_unreplicated_log: bool = False  # fewer copies than that are taken, with a note

    delivery_s: float = 20.0  # longest an append waits; shorter than the senders' patience
    lookup_s: float = 5.0  # longest a look-up of offsets may take
    connect_s: float = 10.0  # longest it may take to find the brokers
    queue_bytes: int = 64 << 20  # of appends that are not acknowledged

    linger_ms: int = 10  # how long an append waits for others
    max_linger_ms: int = 100  # and how long at most where something was sent lately:
    rest_ms: int = 25  # the next sending waits so long, for each costs this process a millisecond with one record, …
    records_per_second: int = 200  # … and so that there are no more of these, which cost some 0.3 ms each
    lookup_every_s: float = 0.005  # from the start of one look-up to the next

    tls: bool = False
    ca_file: Path | None = None  # none: the system's authorities
    cert_file: Path | None = None  # of this process, with its key; none: the brokers ask for none
    key_file: Path | None = None
    sasl_mechanism: str | None = None  # PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; none: no login
    sasl_user: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
