"""What a write request says it carries."""

from shared.errors import UnsupportedTypeError

MEDIA_TYPE = "application/x-protobuf"
VERSION_1 = "prometheus.WriteRequest"
VERSION_2 = "io.prometheus.write.v2.Request"


def check_encoding(value: bytes | None) -> None:
    """Raises UnsupportedTypeError. No header means snappy, as with Prometheus."""
    if value is not None and value.strip().lower() != b"snappy":
        name = value.decode("latin-1")[:100]
        raise UnsupportedTypeError(
            f"{name} encoding (compression) is not accepted by this server; only snappy is acceptable"
        )


def check_content_type(value: bytes | None) -> None:
    """Raises UnsupportedTypeError. Unlike with Prometheus, blanks, quotes and the case of the type do not matter."""
    if not value:
        return
    text = value.decode("latin-1")
    media, *parameters = (part.strip() for part in text.split(";"))
    if media.lower() != MEDIA_TYPE:
        raise UnsupportedTypeError(f"expected {MEDIA_TYPE} as the first (media) part, got {text[:200]} content-type")
    for parameter in parameters:
        name, _, message = parameter.partition("=")
        message = message.strip().strip('"')
        if name.strip().lower() != "proto" or message == VERSION_1:
            continue
        if message == VERSION_2:
            raise UnsupportedTypeError(
                f"{message} protobuf message is not accepted by this server; only accepts {VERSION_1}"
            )
        raise UnsupportedTypeError(
            f"got {text[:200]} content type; unknown type for remote write protobuf message {message[:100]}, "
            f"supported: {VERSION_1}"
        )
