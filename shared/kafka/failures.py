"""kafka-python's errors as ours. Its texts name brokers, topics and partitions, and never a credential."""

from kafka.errors import (
    BrokerResponseError,
    KafkaTimeoutError,
    NotEnoughReplicasAfterAppendError,
    NotEnoughReplicasError,
)

from shared.errors import UnavailableError

_REPLICAS = (NotEnoughReplicasError, NotEnoughReplicasAfterAppendError)


def reason(error: BaseException) -> str:
    """One line, with what to look at where we know."""
    text = str(error) or type(error).__name__
    if isinstance(error, BrokerResponseError):  # the text may hold all of the request
        text = f"{type(error).__name__}: {error.description}"
    if isinstance(error, _REPLICAS):
        return f"too few replicas are in sync (min.insync.replicas of the topic): start the missing brokers ({text})"
    if isinstance(error, KafkaTimeoutError):
        return f"the brokers do not answer in time ({text})"
    return text


def unavailable(error: BaseException) -> UnavailableError:
    return UnavailableError(f"Kafka: {reason(error)}", retry_after_s=5)
