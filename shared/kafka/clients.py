"""kafka-python's clients, made from the settings. Making one finds the brokers and blocks: not for an event loop."""

import contextlib
import logging
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.record import util as record_util

from shared.errors import InternalError, UnavailableError
from shared.kafka import sockets
from shared.kafka.failures import unavailable
from shared.kafka.settings import KafkaSettings

CLIENT_ID = "headrace"

BATCH_BYTES = 1_000_000
"""Most that goes to one partition at once. Brokers take 1,048,588 bytes (message.max.bytes) unless told otherwise."""

REQUEST_BYTES = 4 << 20

FETCH_BYTES = 2 << 20
"""What a consumer holds of the brokers' answers at most, by broker; a single record is never too large."""
PARTITION_FETCH_BYTES = 1 << 20

_FETCH_WAIT_MS = 500
_LAST_RECONNECT_MS = 1_000  # a broker that is back is noticed within a second
_ABANDON_S = 1.0  # for a thread that has been told to end
_PAUSE_MS = 25  # before what failed is tried again, and before metadata is asked for


class _Trouble(logging.Handler):
    """The last thing that went wrong with a connection: kafka-python tells it to its log and to nobody else."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        # A broker that refuses a login may hang up before its reason is read, and an attempt may run out of time.
        is_vague = "socket disconnected" in message or "Timeout" in message
        if " connection to " in message and not (is_vague and self.last):
            self.last = message.partition(" (backoff")[0]


_trouble = _Trouble(logging.WARNING)

# It tells every reconnect as an error; what matters of it we say ourselves.
logging.getLogger("kafka").setLevel(logging.CRITICAL)
_connections = logging.getLogger("kafka.net")
_connections.setLevel(logging.WARNING)
_connections.propagate = False
_connections.addHandler(_trouble)


class Client(KafkaNetClient):  # type: ignore[misc]  # kafka-python is not typed
    """Ends its connections when it is closed. kafka-python's closes one that has something to write only once that is
    written, which nothing does any more: it stays open until a garbage collection finds it.

    Its own thread can be left asleep while another one gives it several records, so that they go in one request.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__(**config)
        self._gathering: int | None = None  # the thread that gives it records
        self._is_due = False

    @contextlib.contextmanager
    def gathering(self) -> Iterator[None]:
        """What this thread does here wakes the client's own at the end, once. Metadata that has to be waited for is
        asked for meanwhile: that wakes it by another way.
        """
        self._gathering = threading.get_ident()
        try:
            yield
        finally:
            self._gathering = None
            if self._is_due:
                self._is_due = False
                self.wakeup()

    def wakeup(self) -> None:
        if self._gathering == threading.get_ident():
            self._is_due = True
        else:
            super().wakeup()

    def close(self, node_id: Any = None) -> None:
        if node_id is None:
            for connection in list(self._manager._conns.values()):  # noqa: SLF001  nothing public lists them
                if connection.transport is not None:
                    connection.transport.abort()
        super().close(node_id)


def check_extension() -> None:
    """InternalError if kafka-python computes its checksums in Python: a core would manage some 7 MB a second."""
    if record_util.crc32c_c is None:
        raise InternalError(
            "the Python package crc32c is missing or cannot be loaded, and Kafka would be a hundred times slower "
            "without it: pip install crc32c"
        )


def producer(settings: KafkaSettings) -> Any:
    """A `kafka.KafkaProducer` that gives up before our own deadline does. UnavailableError: no broker answers.

    Without idempotence: once a record that was tried before has expired, an idempotent producer of kafka-python has no
    id any more and never gets one, so that no partition can be written. What a repetition writes twice merges.
    """
    delivery_ms = int(settings.delivery_s * 800)
    return _made(
        KafkaProducer,
        settings,
        **_QUIET,
        acks="all",
        enable_idempotence=False,
        compression_type=None,  # records come compressed
        batch_size=BATCH_BYTES,
        max_request_size=REQUEST_BYTES,
        linger_ms=0,  # the outbox has collected already
        request_timeout_ms=delivery_ms // 2,
        delivery_timeout_ms=delivery_ms,
        max_block_ms=delivery_ms // 2,
    )


def together(producer: Any) -> contextlib.AbstractContextManager[None]:
    """Records that this thread gives a producer inside leave in as few requests as they can: kafka-python's own thread
    would begin with the first one, and send what has come after that in requests of their own.
    """
    client: Client = producer._sender._client  # noqa: SLF001  nothing public leads to what `_made` gave it
    return client.gathering()


def abandon(producer: Any) -> None:
    """Ends a producer whose `close` has raised: kafka-python's waits first for all that is on its way, and where that
    takes too long it ends nothing. What is on its way fails.
    """
    producer._sender.force_close()  # noqa: SLF001  nothing public ends its thread then
    with contextlib.suppress(KafkaError):
        producer.close(timeout=_ABANDON_S)


def consumer(settings: KafkaSettings) -> Any:
    """A `kafka.KafkaConsumer` without a group, which asks instead of guessing where it lost its place."""
    return _made(
        KafkaConsumer,
        settings,
        **_QUIET,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        check_crcs=False,  # records have a checksum of their own, and what fails here cannot be passed
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        request_timeout_ms=int(settings.lookup_s * 1000),
    )


def admin(settings: KafkaSettings) -> Any:
    """A `kafka.KafkaAdminClient`."""
    return _made(KafkaAdminClient, settings, request_timeout_ms=int(settings.connect_s * 1000))


_QUIET = {"metrics_enabled": False, "allow_auto_create_topics": False}


def _made(kind: Any, settings: KafkaSettings, **config: Any) -> Any:
    """What a constructor that fails leaves behind, a thread and sockets, is ended."""
    begun: list[Client] = []

    def begin(**given: Any) -> Client:
        begun.append(Client(**given))
        return begun[-1]

    _trouble.last = ""
    try:
        return kind(**_connecting(settings), **config, kafka_client=begin)
    except KafkaError as error:
        for client in begun:
            client.close()
        raise _unreachable(settings, error) from error


def _unreachable(settings: KafkaSettings, error: KafkaError) -> UnavailableError:
    if not isinstance(error, KafkaTimeoutError):
        return unavailable(error)
    return UnavailableError(
        f"no Kafka broker answers at {','.join(settings.brokers)} within {settings.connect_s} s. Are they up, and are "
        f"kafka.tls, kafka.ca_file, kafka.sasl_user and kafka.sasl_password theirs? {_trouble.last}".rstrip(),
        retry_after_s=5,
    )


def _connecting(settings: KafkaSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": CLIENT_ID,
        "bootstrap_timeout_ms": int(settings.connect_s * 1000),
        "proxy_url": sockets.PROXY_URL,
        "reconnect_backoff_max_ms": _LAST_RECONNECT_MS,
        "retry_backoff_ms": _PAUSE_MS,
        "security_protocol": _PROTOCOLS[settings.tls, settings.sasl_mechanism is not None],
    }
    if settings.tls:
        config["ssl_context"] = _tls(settings)
    if settings.sasl_mechanism is not None:
        config["sasl_mechanism"] = settings.sasl_mechanism
        config["sasl_plain_username"] = settings.sasl_user
        config["sasl_plain_password"] = settings.sasl_password
    return config


_PROTOCOLS = {
    (False, False): "PLAINTEXT",
    (True, False): "SSL",
    (False, True): "SASL_PLAINTEXT",
    (True, True): "SASL_SSL",
}


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.sslsocket_class = sockets.TlsSocket
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:
        raise InternalError(
            f"the certificates for Kafka cannot be used ({error}): look at kafka.ca_file, kafka.cert_file and "
            "kafka.key_file"
        ) from error
    return context
