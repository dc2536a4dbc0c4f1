"""What a write request says it carries."""

from shared.asgi.types import Headers
from shared.errors import UnsupportedTypeError

MEDIA_TYPE = "application/x-protobuf"
VERSIONS = {"prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
"""Protobuf message -> version of remote write."""


def check_encoding(value: bytes | None) -> None:
    """Raises UnsupportedTypeError. No header means snappy, as with Prometheus."""
    if value is not None and value.strip().lower() != b"snappy":
        name = value.decode("latin-1")[:100]
        raise UnsupportedTypeError(
            f"{name} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )


def version_of(value: bytes | None) -> int:
    """The version of remote write that a Content-Type names, 1 or 2. Raises UnsupportedTypeError.

    Unlike with Prometheus, blanks, quotes and the case of the type do not matter.
    """
    if not value:
        return 1
    text = value.decode("latin-1")
    media, *parameters = (part.strip() for part in text.split(";"))
    if media.lower() != MEDIA_TYPE:
        raise UnsupportedTypeError(f"expected {MEDIA_TYPE} as the first (media) part, got {text[:200]} content-type")
    for parameter in parameters:
        name, _, message = parameter.partition("=")
        if name.strip().lower() != "proto":
            continue
        message = message.strip().strip('"')
        if message not in VERSIONS:
            raise UnsupportedTypeError(
                f"got {text[:200]} content type; unknown type for remote write protobuf message {message[:100]}, "
                f"supported: {', '.join(VERSIONS)}"
            )
        return VERSIONS[message]
    return 1


def written(samples: int, histograms: int, exemplars: int) -> Headers:
    """What was stored of a request of version 2; its sender takes an answer without them for one of a 1.0 receiver."""
    return [
        (b"x-prometheus-remote-write-samples-written", b"%d" % samples),
        (b"x-prometheus-remote-write-histograms-written", b"%d" % histograms),
        (b"x-prometheus-remote-write-exemplars-written", b"%d" % exemplars),
    ]
